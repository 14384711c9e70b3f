"""Recordings as a source: the video and audio of one file, in the order of media time, at full speed."""

import heapq
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from sidecar.clock import Clock
from sidecar.errors import RecordingError
from sidecar.types import SAMPLE_RATE_HZ, AudioChunk, ByteArray, FloatArray, Permit, VideoFrame

Frame = TypeVar("Frame", av.VideoFrame, av.AudioFrame)

log = logging.getLogger(__name__)

_CHUNK_SAMPLES: Final = SAMPLE_RATE_HZ // 10
_WIDTH_PX: Final = 640
"""Wider pictures are scaled down: a face keeps more pixels than on a call's lowest layer, at bounded cost."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A readable file with at least one of video and audio."""

    path: Path
    duration_s: float
    """0 where the file does not say."""
    has_video: bool
    has_audio: bool


def open_recording(path: Path) -> Recording:
    """Look at a file. Raises `RecordingError` saying what is wrong with it."""
    try:
        with av.open(str(path)) as container:
            has_video, has_audio = bool(container.streams.video), bool(container.streams.audio)
            duration_s = (container.duration or 0) / av.time_base
    except (FFmpegError, OSError) as error:
        raise RecordingError(f"cannot read the recording {path}: {error}") from error
    if not (has_video or has_audio):
        raise RecordingError(f"{path} has neither video nor audio")
    return Recording(path, max(0.0, duration_s), has_video, has_audio)


def read_recording(
    recording: Recording, clock: Clock, fps: float, *, face: Permit | None, voice: Permit | None
) -> Iterator[VideoFrame | AudioChunk]:
    """The units of a recording by the media time at which they end. Blocking: pull it from a thread.

    A stream is decoded only where there is a permit for it. A file that breaks off is read up to there.
    """
    streams: list[Iterator[VideoFrame | AudioChunk]] = []
    if recording.has_video and face is not None:
        streams.append(_frames(recording.path, clock, fps, face))
    if recording.has_audio and voice is not None:
        streams.append(_chunks(recording.path, clock, voice))
    return heapq.merge(*streams, key=end_s)


def end_s(unit: VideoFrame | AudioChunk) -> float:
    """Media time at which a unit is complete."""
    return unit.end_s if isinstance(unit, AudioChunk) else unit.media_time_s


def _frames(path: Path, clock: Clock, fps: float, permit: Permit) -> Iterator[VideoFrame]:
    next_s = 0.0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start_s = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
        for frame in _decoded(container, stream, av.VideoFrame):
            media_time_s = max(0.0, (frame.time or 0.0) - start_s)
            if media_time_s + 1e-6 < next_s:
                continue
            next_s = max(next_s + 1 / fps, media_time_s)
            yield VideoFrame(_upright(frame), media_time_s, clock.monotonic(), permit)


def _upright(frame: av.VideoFrame) -> ByteArray:
    width = min(frame.width, _WIDTH_PX)
    height = max(1, round(frame.height * width / frame.width))
    rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
    turned: ByteArray = np.ascontiguousarray(np.rot90(rgb, k=round(frame.rotation / 90) % 4))
    return turned


def _chunks(path: Path, clock: Clock, permit: Permit) -> Iterator[AudioChunk]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    pending: list[FloatArray] = []
    held = sent = 0
    with av.open(str(path)) as container:
        frames = _decoded(container, container.streams.audio[0], av.AudioFrame)
        for frame in chain(frames, (None,)):  # None flushes the resampler
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray().reshape(-1).astype(np.float32)
                pending.append(samples)
                held += len(samples)
            if held < _CHUNK_SAMPLES:
                continue
            audio = np.concatenate(pending)
            whole = held - held % _CHUNK_SAMPLES
            for at in range(0, whole, _CHUNK_SAMPLES):
                yield AudioChunk(audio[at : at + _CHUNK_SAMPLES], sent / SAMPLE_RATE_HZ, clock.monotonic(), permit)
                sent += _CHUNK_SAMPLES
            pending, held = [audio[whole:]], held - whole


def _decoded(container: InputContainer, stream: VideoStream | AudioStream, kind: type[Frame]) -> Iterator[Frame]:
    try:
        for frame in container.decode(stream):
            if isinstance(frame, kind):
                yield frame
    except FFmpegError as error:
        log.warning("%s breaks off: %s; what came before is used", Path(container.name).name, error)
