"""The video and audio of one file as units in the order of media time, at full speed."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Final, Self

from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from sidecar.clock import Clock
from sidecar.errors import RecordingError
from sidecar.sources.recording.decoding import Decoder, frame_s
from sidecar.sources.recording.messages import in_plain_words
from sidecar.sources.recording.pictures import Pictures
from sidecar.sources.recording.probe import Recording, open_container, select
from sidecar.sources.recording.report import StreamReport
from sidecar.sources.recording.sound import Sound
from sidecar.types import AudioChunk, Permit, VideoFrame

_TRUNCATED_S: Final = 1.0
_LEAST_REST: Final = 0.2
"""Of the file; an index at its end is smaller."""
_SEQUENCES: Final = frozenset({"flac", "mp3", "aac", "ac3", "eac3", "amr", "wav", "aiff", "au", "tta", "wv", "ape"})
"""Formats of nothing but frames of sound, whose time stamps FFmpeg makes by counting."""
_LEAST_REST_BYTES: Final = 16_384


def read_recording(
    recording: Recording, clock: Clock, fps: float, *, face: Permit | None, voice: Permit | None
) -> "RecordingReader":
    """The units of a recording by the media time at which they end. Blocking: pull it from a thread.

    A stream is decoded only where there is a permit for it. What is damaged is skipped and reported.
    """
    return RecordingReader(recording, clock, fps, face=face, voice=voice)


def end_s(unit: VideoFrame | AudioChunk) -> float:
    """Media time at which a unit is complete."""
    return unit.end_s if isinstance(unit, AudioChunk) else unit.media_time_s


class RecordingReader:
    """An iterator over the units of a recording.

    The file is opened once for each stream, so that it costs no memory when the one is stored far behind the other.
    Raises `RecordingError` at the end if nothing could be decoded, and if the file cannot be opened again.
    """

    def __init__(
        self, recording: Recording, clock: Clock, fps: float, *, face: Permit | None, voice: Permit | None
    ) -> None:
        self._recording = recording
        self._clock = clock
        self._fps = fps
        self._reports: list[StreamReport] = []
        self._sound_notes: Sequence[str] = ()
        self._streams: list[Iterator[VideoFrame | AudioChunk]] = []
        if recording.has_video and face is not None:
            self._streams.append(self._frames(face, self._report_on("video")))
        if recording.has_audio and voice is not None:
            self._streams.append(self._chunks(voice, self._report_on("audio")))
        self._merged = heapq.merge(*self._streams, key=end_s)
        self._units = 0
        self._ended = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> VideoFrame | AudioChunk:
        try:
            unit = next(self._merged)
        except StopIteration:
            self._ended = True
            self._check_any()
            raise
        except (FFmpegError, OSError) as error:
            raise RecordingError(
                f"cannot read the recording {self._recording.path}: {in_plain_words(error)}"
            ) from error
        self._units += 1
        return unit

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent; not while another thread pulls."""
        for stream in (self._merged, *self._streams):
            stream.close()  # type: ignore[attr-defined]  # generators

    @property
    def report(self) -> Sequence[str]:
        """What was chosen, skipped, shifted or found odd so far, as sentences; complete once the iterator has ended."""
        told = [*self._recording.notes]
        for each in self._reports:
            told += each.sentences()
        if self._ended:
            told += self._truncation()
        return [*told, *self._sound_notes]

    def _report_on(self, name: str) -> StreamReport:
        report = StreamReport(name)
        self._reports.append(report)
        return report

    def _truncation(self) -> list[str]:
        """How much less was read than the header promises, by stream or for the whole file."""
        promised_s, told = self._recording.promised_s, []
        for report in self._reports:
            if report.name in promised_s:
                told += _truncated(report.name, report.read_to_s + report.closed_s, promised_s[report.name])
        tracks = self._recording.has_video + self._recording.has_audio
        if not told and "file" in promised_s and len(self._reports) == tracks:
            read_s = max((report.read_to_s + report.closed_s for report in self._reports), default=0.0)
            told += _truncated("file", read_s, promised_s["file"])
        if not told and "file" in promised_s and not any(report.restarts for report in self._reports):
            told += self._rest()
        return told

    def _rest(self) -> list[str]:
        """A large part of the file behind the last packet, in a file without other tracks."""
        read_bytes = max((report.read_bytes for report in self._reports), default=0)
        size = self._recording.size_bytes
        if not 0 < read_bytes < size - max(_LEAST_REST_BYTES, size * _LEAST_REST):
            return []
        return [
            f"file: its last {1 - read_bytes / size:.0%} were not read: it is damaged, or another recording follows"
        ]

    def _check_any(self) -> None:
        if self._reports and not self._units:
            why = "; ".join(self.report) or "it holds no frames"
            raise RecordingError(f"nothing in {self._recording.path} could be decoded: {why}")

    def _frames(self, permit: Permit, report: StreamReport) -> Iterator[VideoFrame]:
        with open_container(self._recording.path) as container:
            video, audio = select(container, self._recording)
            assert video is not None
            video.thread_type = "AUTO"
            pictures = Pictures(
                video,
                self._clock,
                permit,
                fps=self._fps,
                frame_s=frame_s(video),
                report=report,
            )
            streams: list[VideoStream | AudioStream] = [video] if audio is None else [video, audio]
            decoder = Decoder(
                container, video, streams, video.codec_context.decode, origin_s=self._recording.origin_s, report=report
            )
            with closing(decoder.frames()) as frames:  # type: ignore[type-var]  # a generator
                for frame, media_time_s in frames:
                    unit = pictures.take(frame, media_time_s)
                    if unit is not None:
                        yield unit

    def _chunks(self, permit: Permit, report: StreamReport) -> Iterator[AudioChunk]:
        with open_container(self._recording.path) as container:
            video, audio = select(container, self._recording)
            assert audio is not None
            sound = Sound(self._clock, permit, report, sequence=container.format.name in _SEQUENCES)
            streams: list[VideoStream | AudioStream] = [audio] if video is None else [video, audio]
            decoder = Decoder(
                container, audio, streams, audio.codec_context.decode, origin_s=self._recording.origin_s, report=report
            )
            with closing(decoder.frames()) as frames:  # type: ignore[type-var]  # a generator
                for frame, media_time_s in frames:
                    yield from sound.take(frame, media_time_s)
                yield from sound.end()
            self._sound_notes = sound.notes()


def _truncated(name: str, read_s: float, promised_s: float) -> list[str]:
    if read_s >= promised_s - _TRUNCATED_S:
        return []
    return [f"{name}: truncated, {read_s:.1f} of {promised_s:.1f} s could be read"]
