"""Which video track and which audio track of a file are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

Track = TypeVar("Track", VideoStream, AudioStream)

_NEVER_A_CAMERA: Final = Disposition.attached_pic | Disposition.timed_thumbnails
_SECOND_CHOICE: Final = (
    Disposition.comment
    | Disposition.visual_impaired
    | Disposition.hearing_impaired
    | Disposition.descriptions
    | Disposition.karaoke
    | Disposition.lyrics
    | Disposition.clean_effects
    | Disposition.non_diegetic
    | Disposition.dependent
    | Disposition.multilayer
)
"""Tracks beside the main one, such as a director's comment or an audio description."""
_PICTURE_CODECS: Final = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff", "jpeg2000"})


@dataclass(frozen=True, slots=True)
class Choice:
    """The tracks to read, and sentences for the operator about those that are not."""

    video: VideoStream | None
    audio: AudioStream | None
    notes: Sequence[str]


def choose(container: InputContainer, is_single: Callable[[int], bool]) -> Choice:
    """The default track of each kind, else the first one. Covers and thumbnails are never read as a camera.

    `is_single` looks through the file: whether the track with an index consists of one picture beside sound.
    """
    notes: list[str] = []
    audio = _best("audio", list(container.streams.audio), notes)
    cameras = [stream for stream in container.streams.video if not _is_cover(stream, beside_sound=audio is not None)]
    while True:
        of_video: list[str] = []
        video = _best("video", cameras, of_video)
        if video is None or audio is None or not is_single(video.index):
            break
        cameras.remove(video)
    if len(cameras) < len(container.streams.video):
        notes.append("a cover or thumbnail picture is not read as a camera")
    return Choice(video, audio, [*notes, *of_video])


def _best(kind: str, tracks: Sequence[Track], notes: list[str]) -> Track | None:
    readable = [track for track in tracks if track.codec_context is not None]
    if len(readable) < len(tracks):
        notes.append(f"{len(tracks) - len(readable)} {kind} tracks are not read: there is no decoder for their format")
    if not readable:
        return None
    best = min(readable, key=_rank)
    if len(readable) > 1:
        notes.append(f"{len(readable)} {kind} tracks: number {tracks.index(best) + 1} is read, as the file's main one")
    return best


def _rank(track: VideoStream | AudioStream) -> tuple[bool, bool, int]:
    disposition = track.disposition
    return bool(disposition & _SECOND_CHOICE), not disposition & Disposition.default, track.index


def _is_cover(stream: VideoStream, *, beside_sound: bool) -> bool:
    """A still beside sound is a cover even where the file does not say so; a file of its own is a photograph."""
    disposition = stream.disposition
    if disposition & _NEVER_A_CAMERA:
        return True
    still = bool(disposition & Disposition.still_image)
    if stream.codec_context is not None and stream.frames == 1:
        still = still or stream.codec_context.name in _PICTURE_CODECS
    return still and beside_sound
