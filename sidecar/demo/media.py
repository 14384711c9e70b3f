"""Media files as an endless camera and microphone: decoded frame by frame, so that memory stays flat."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np

from sidecar.errors import RecordingError
from sidecar.sources.recording.messages import in_plain_words

WIDTH_PX: Final = 640
HEIGHT_PX: Final = 360
FPS: Final = 15
SPEECH_RATE_HZ: Final = 48_000
SPEECH_FRAME: Final = SPEECH_RATE_HZ // 10
"""Samples in one frame of audio: 100 ms, because each costs a call into the SDK."""


def has_stream(path: Path, kind: str) -> bool:
    """True where the file has a stream of `kind` (`video` or `audio`). Raises `RecordingError`."""
    with _opened(path) as container:
        return any(stream.type == kind for stream in container.streams)


def pictures(path: Path) -> Iterator[bytes]:
    """I420 pictures of 640x360 at 15 fps for ever, the whole picture kept and padded. Raises `RecordingError`."""
    while True:
        last, count = b"", 0
        for last in _pictures_once(path):
            count += 1
            yield last
        while count <= 1:  # a still
            if not last:
                raise RecordingError(f"{path} has no picture")
            yield last


def speech(path: Path) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int16]]]:
    """Frames of `SPEECH_FRAME` int16 mono samples at 48 kHz for ever. Raises `RecordingError`."""
    rest = np.empty(0, np.int16)
    while True:
        heard = False
        for samples in _samples_once(path):
            heard = heard or samples.size > 0
            rest = np.concatenate([rest, samples])
            while len(rest) >= SPEECH_FRAME:
                yield rest[:SPEECH_FRAME]
                rest = rest[SPEECH_FRAME:]
        if not heard:
            raise RecordingError(f"{path} has no sound")


def _pictures_once(path: Path) -> Iterator[bytes]:
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        graph = av.filter.Graph()
        steps = [
            graph.add_buffer(template=stream),
            graph.add("fps", str(FPS)),
            graph.add("scale", f"{WIDTH_PX}:{HEIGHT_PX}:force_original_aspect_ratio=decrease:flags=fast_bilinear"),
            graph.add("pad", f"{WIDTH_PX}:{HEIGHT_PX}:-1:-1"),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*steps).configure()
        for frame in container.decode(stream):
            graph.vpush(frame)
            yield from _drained(graph)
        graph.vpush(None)
        yield from _drained(graph)


def _drained(graph: av.filter.Graph) -> Iterator[bytes]:
    while True:
        try:
            yield graph.vpull().to_ndarray().tobytes()
        except (av.BlockingIOError, av.EOFError):
            return


def _samples_once(path: Path) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int16]]]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_RATE_HZ)
    with _opened(path) as container:
        for frame in container.decode(audio=0):
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray().reshape(-1).astype(np.int16, copy=False)


def _opened(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path))
    except (OSError, av.FFmpegError) as error:
        raise RecordingError(f"{path} cannot be read as media: {in_plain_words(error)}") from error
