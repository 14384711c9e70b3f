"""Opens a file and says what it holds, before anything is decoded."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard
from av.video.stream import VideoStream

from sidecar.errors import RecordingError
from sidecar.sources.recording.choice import Choice, choose
from sidecar.sources.recording.losses import frames_of_mp3, losses
from sidecar.sources.recording.messages import in_plain_words
from sidecar.sources.recording.packets import packets
from sidecar.sources.recording.report import StreamReport

_FORMATS: Final = (
    "mov,matroska,avi,asf,asf_o,flv,live_flv,mpeg,mpegts,mpegtsraw,ogg,mxf,gxf,nut,nuv,nsv,rm,dv,ivf,wtv,ty,lxf,smjpeg,"
    "swf,vivo,roq,bink,smk,yuv4mpegpipe,pva,pmp,kux,dhav,r3d,"
    "h261,h263,h264,hevc,vvc,evc,m4v,mpegvideo,mjpeg,mjpeg_2000,mpjpeg,obu,av1,vc1,dirac,cavsvideo,avs2,avs3,apv,dnxhd,"
    "aac,ac3,ac4,eac3,aa,aiff,amr,amrnb,amrwb,ape,aptx,aptx_hd,au,caf,codec2,dsf,dss,dts,dtshd,flac,gsm,iamf,iff,ircam,"
    "lc3,loas,mlp,mp3,mpc,mpc8,mulaw,alaw,nistsphere,oma,osq,qcp,qoa,sbc,shn,sln,sox,spdif,tak,truehd,tta,voc,vqf,w64,"
    "wav,wv,wve,xwma,"
    "image2,gif,apng,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif_pipe,j2k_pipe,jpegxl_pipe,jpegxl_anim"
)
"""FFmpeg's names of formats that hold media. Play lists and scripts, which name other files, are not read."""
_OPTIONS: Final = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "file",
    "pattern_type": "none",  # "take%02d.png" is one file
    "probesize": "20000000",  # sound that begins late in an FLV or MPEG file is found
    "analyzeduration": "30000000",  # microseconds
}
_ENDS_AT_DURATION: Final = frozenset({"matroska,webm", "flv"})
"""The duration of these formats is the last time stamp, not the length."""
_SINGLE_S: Final = 3.0
"""A single picture beside longer sound is a cover. A very short recording may have just one."""
_STATES_DURATION: Final = frozenset(
    {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "avi", "asf", "mxf"}
    | {"wav", "w64", "aiff", "caf", "flac", "ape", "tta", "wv"}
)
"""Formats with the duration in their header. That of others is a guess, from the bit rate or the last time stamp."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A readable file with at least one of video and audio."""

    path: Path
    duration_s: float
    """From the file's start; 0 where the file does not say."""
    has_video: bool
    has_audio: bool
    video: int | None = None
    """Index of the chosen track in the file."""
    audio: int | None = None
    origin_s: float | None = None
    """The file's own time stamp of its start; None where its streams have none."""
    promised_s: dict[str, float] = field(default_factory=dict)
    """Media time at which "video", "audio" and the whole "file" end by the header, where that is certain."""
    size_bytes: int = 0
    notes: Sequence[str] = ()
    """What was chosen among several tracks, and what is obviously missing, as sentences."""


def open_recording(path: Path) -> Recording:
    """Look at a file. Raises `RecordingError` saying what is wrong with it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise RecordingError(f"cannot read the recording {path}: it is not a regular file; save it to a file first")
        with open_container(path) as container:
            choice = choose(container, partial(_is_single, path))
            recording = _describe(path, container, choice)
            _check_content(path, container, choice)
    except (FFmpegError, OSError, ValueError) as error:
        raise RecordingError(f"cannot read the recording {path}: {in_plain_words(error)}") from error
    return recording


def open_container(path: Path) -> InputContainer:
    """The file, read as a file whatever its name is. Raises FFmpeg's errors, `RecordingError` for play lists."""
    try:
        return av.open(f"file:{path}", "r", container_options=_OPTIONS, metadata_errors="replace")
    except av.error.ArgumentError as error:
        raise RecordingError(f"{path} is not a recording but a list or a text; give the media file itself") from error


def select(container: InputContainer, recording: Recording) -> tuple[VideoStream | None, AudioStream | None]:
    """The chosen tracks of a container; all others are skipped by the demultiplexer."""
    for stream in container.streams:
        if stream.index not in (recording.video, recording.audio):
            with suppress(AttributeError):
                stream.discard = Discard.all
    video = None if recording.video is None else container.streams[recording.video]
    audio = None if recording.audio is None else container.streams[recording.audio]
    assert video is None or isinstance(video, VideoStream)
    assert audio is None or isinstance(audio, AudioStream)
    return video, audio


def _is_single(path: Path, index: int) -> bool:
    """Whether the track consists of one picture, in a file of more than a few seconds or of unknown length.

    Read in a container of its own, which skips the other tracks.
    """
    with open_container(path) as container:
        if 0 < (container.duration or 0) / av.time_base <= _SINGLE_S:
            return False
        track = container.streams[index]
        for stream in container.streams:
            if stream is not track:
                with suppress(AttributeError):
                    stream.discard = Discard.all
        return sum(1 for _ in islice(packets(container, [track], StreamReport("")), 2)) == 1


def _describe(path: Path, container: InputContainer, choice: Choice) -> Recording:
    if choice.video is None and choice.audio is None:
        why = f": {'; '.join(choice.notes)}" if choice.notes else ""
        raise RecordingError(f"{path} has neither video nor audio that can be read{why}")
    origin_s = _origin_s(choice)
    length_s = _length_s(container, origin_s or 0.0)
    return Recording(
        path=path,
        duration_s=length_s,
        has_video=choice.video is not None,
        has_audio=choice.audio is not None,
        video=None if choice.video is None else choice.video.index,
        audio=None if choice.audio is None else choice.audio.index,
        origin_s=origin_s,
        promised_s=_promised_s(path, container, choice, origin_s or 0.0, length_s),
        size_bytes=container.size,
        notes=[*choice.notes, *losses(path)],
    )


def _origin_s(choice: Choice) -> float | None:
    """The earliest start of the chosen streams. One that is not known yet may begin the file: see `Timeline`."""
    streams = [stream for stream in (choice.video, choice.audio) if stream is not None]
    starts = [
        float(each.start_time * each.time_base) for each in streams if each.start_time is not None and each.time_base
    ]
    return min(starts) if len(starts) == len(streams) else None


def _length_s(container: InputContainer, origin_s: float) -> float:
    length_s = (container.duration or 0) / av.time_base
    if container.format.name in _ENDS_AT_DURATION and length_s > origin_s > 0:
        length_s -= origin_s
    return max(0.0, length_s)


def _promised_s(
    path: Path, container: InputContainer, choice: Choice, origin_s: float, length_s: float
) -> dict[str, float]:
    """What the header says about the ends of the chosen streams, and of the file if it has no others."""
    promised_s: dict[str, float] = {}
    if container.format.name == "mp3" and choice.audio is not None:
        frames, rate_hz = frames_of_mp3(path), choice.audio.rate
        if frames and rate_hz:
            promised_s["audio"] = frames * (1152 if rate_hz >= 32_000 else 576) / rate_hz
    if container.format.name not in _STATES_DURATION:
        return promised_s
    chosen = {"video": choice.video, "audio": choice.audio}
    for name, stream in chosen.items():
        if stream is not None and stream.duration and stream.time_base:
            promised_s[name] = float(((stream.start_time or 0) + stream.duration) * stream.time_base) - origin_s
    if len(container.streams) == sum(stream is not None for stream in chosen.values()):
        promised_s["file"] = length_s
    return promised_s


def _check_content(path: Path, container: InputContainer, choice: Choice) -> None:
    chosen = [stream for stream in (choice.video, choice.audio) if stream is not None]
    if next(packets(container, chosen, StreamReport("")), None) is None:
        raise RecordingError(f"{path} holds no sound and no pictures: its header is all that there is")
