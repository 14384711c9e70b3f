"""Decoded audio frames to chunks of 16 kHz mono, placed by their time stamps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import av
import numpy as np
from av.error import FFmpegError

from sidecar.clock import Clock
from sidecar.sources.recording.hearing import Hearing
from sidecar.sources.recording.messages import as_damage
from sidecar.sources.recording.mixing import Mixer
from sidecar.sources.recording.report import StreamReport
from sidecar.types import SAMPLE_RATE_HZ, AudioChunk, FloatArray, Permit

_CHUNK_SAMPLES: Final = SAMPLE_RATE_HZ // 10
_BLOCK_S: Final = 0.25
"""What is mixed and resampled at a time."""
_JITTER_S: Final = 0.05
"""Stamps this much late are rounding and jitter: samples are counted. Later ones are a gap."""
_OVERLAP_S: Final = 0.2
"""Sound stamped this much early is taken whole, which shifts it; earlier sound overlaps, and is cut."""
_LEAST_TRUST_S: Final = 5.0
_LARGEST_CUT: Final = 0.2
"""If more than this share of the sound overlaps, the stamps are wrong rather than the sound."""
_LOUDEST: Final = 1000.0
"""Samples are limited to this before levels are measured: damaged float files hold huge numbers."""
_KINDS: Final[Mapping[str, type[np.generic]]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}
"""Arrays of FFmpeg's sample formats."""

Format = tuple[int, str, str]
"""Sample rate, sample format, channel layout."""


class Sound:
    """The chunks of one stream, whose frames are given in order.

    A run of chunks is contiguous. A gap in the stamps ends a run with a chunk that may be shorter; what is left at the
    end of the file and fills no chunk is dropped, unless it is all that there is.
    """

    def __init__(self, clock: Clock, permit: Permit, report: StreamReport) -> None:
        self._clock = clock
        self._permit = permit
        self._report = report
        self._hearing = Hearing()
        self._mixers: list[Mixer] = []
        self._format: Format | None = None
        self._resampler: av.AudioResampler | None = None
        self._block: list[tuple[av.AudioFrame, int]] = []
        """Frames of one format, each with the samples to skip at its beginning."""
        self._block_samples = 0
        self._run_s: float | None = None
        """Media time of the run's first sample."""
        self._stamp_s: float | None = None
        self._frame_s = 0.0
        """Stamp and length of the newest frame."""
        self._taken_s = 0.0
        """Seconds of sound taken into the run."""
        self._sent = 0
        """Samples of the run in chunks, at 16 kHz."""
        self._pending: FloatArray = np.zeros(0, np.float32)
        self._total_s = 0.0

    def take(self, frame: av.AudioFrame, media_time_s: float | None) -> Iterator[AudioChunk]:
        """The chunks that a frame completes; without a media time it follows the frame before."""
        rate_hz, samples = frame.sample_rate, frame.samples
        if rate_hz <= 0 or not samples:
            return
        format_ = (rate_hz, frame.format.name, frame.layout.name)
        if format_ != self._format:
            yield from self._change(format_, [channel.name for channel in frame.layout.channels])
        media_time_s = self._trusted(media_time_s)
        if self._run_s is None or (media_time_s is not None and media_time_s - self._expected_s > _JITTER_S):
            yield from self._begin_run(media_time_s or 0.0)
        skipped = self._overlap(samples / rate_hz, rate_hz, media_time_s)
        self._frame_s = samples / rate_hz
        self._block.append((frame, skipped))
        self._block_samples += samples - skipped
        self._taken_s += (samples - skipped) / rate_hz
        self._report.read_to_s = max(self._report.read_to_s, self._expected_s)
        if self._block_samples >= _BLOCK_S * rate_hz:
            self._mix()
            yield from self._chunks()

    def end(self) -> Iterator[AudioChunk]:
        """The last chunks of the file."""
        self._mix()
        self._drain()
        yield from self._chunks(rest=self._sent == 0)

    def notes(self) -> Sequence[str]:
        """What was odd about the sound, as sentences."""
        return [f"audio: {note}" for note in self._hearing.notes(self._mixers)]

    @property
    def _expected_s(self) -> float:
        return (self._run_s or 0.0) + self._taken_s

    def _change(self, format_: Format, names: Sequence[str]) -> Iterator[AudioChunk]:
        """Continue the run in another format."""
        self._mix()
        if self._format is not None:
            self._report.formats += 1
            if self._format[0] != format_[0]:
                self._drain()
        self._format = format_
        self._mixers.append(Mixer(names, format_[0]))
        yield from self._chunks()

    def _begin_run(self, media_time_s: float) -> Iterator[AudioChunk]:
        """Continue at a media time after a gap."""
        if self._run_s is not None:
            self._report.gap(media_time_s - self._expected_s)
            self._mix()
            self._drain()
            yield from self._chunks(rest=True)
        self._total_s += self._taken_s
        self._run_s, self._taken_s, self._sent = max(0.0, media_time_s), 0.0, 0

    def _trusted(self, media_time_s: float | None) -> float | None:
        """The stamp of a frame, or None if the stamps stand still although samples go on."""
        advance_s = None if media_time_s is None or self._stamp_s is None else media_time_s - self._stamp_s
        self._stamp_s = media_time_s
        return None if advance_s is not None and 0 <= advance_s < self._frame_s / 2 else media_time_s

    def _overlap(self, length_s: float, rate_hz: int, media_time_s: float | None) -> int:
        """Samples at the beginning of a frame whose time is taken."""
        early_s = 0.0 if media_time_s is None else self._expected_s - media_time_s
        trusted_s = max(_LEAST_TRUST_S, _LARGEST_CUT * (self._total_s + self._taken_s))
        if early_s <= _OVERLAP_S or self._report.overlap_s > trusted_s:
            return 0
        cut_s = min(early_s, length_s)
        self._report.overlap_s += cut_s
        return round(cut_s * rate_hz)

    def _mix(self) -> None:
        """Mix the block and resample it."""
        if self._block_samples and self._format is not None:
            try:
                block, bad = samples_of(self._block, self._block_samples)
                self._hearing.not_finite += bad
                self._resample(self._mixers[-1].mix(block), self._format[0])
            except (FFmpegError, ValueError) as error:
                self._report.undecodable[as_damage(error)] += len(self._block)
                self._resampler = None
        self._block.clear()
        self._block_samples = 0

    def _resample(self, mono: FloatArray, rate_hz: int) -> None:
        if rate_hz == SAMPLE_RATE_HZ:
            self._add([mono])
            return
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono[None]), format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        self._add([piece.to_ndarray()[0] for piece in self._resampler.resample(frame)])

    def _drain(self) -> None:
        """Get the resampler's last samples; the next one begins without a memory of them."""
        if self._resampler is not None:
            self._add([piece.to_ndarray()[0] for piece in self._resampler.resample(None)])
            self._resampler = None

    def _add(self, pieces: Sequence[FloatArray]) -> None:
        for piece in pieces:
            self._hearing.hear(piece)
        self._pending = np.concatenate([self._pending, *pieces])

    def _chunks(self, *, rest: bool = False) -> Iterator[AudioChunk]:
        """Whole chunks of what is pending; the rest as well at the end of a run."""
        audio, at = self._pending, 0
        while len(audio) - at >= (1 if rest else _CHUNK_SAMPLES):
            samples = audio[at : at + _CHUNK_SAMPLES]
            media_time_s = (self._run_s or 0.0) + self._sent / SAMPLE_RATE_HZ
            at += len(samples)
            self._sent += len(samples)
            yield AudioChunk(samples, media_time_s, self._clock.monotonic(), self._permit)
        self._pending = audio[at:]


def samples_of(frames: Sequence[tuple[av.AudioFrame, int]], count: int) -> tuple[FloatArray, int]:
    """The samples of frames of one format, each from an index on: (channels, count) float32, nominally -1..1.

    Samples that are no numbers become 0; the second result is how many there were. Raises `ValueError` for a sample
    format that has no array.
    """
    first = frames[0][0]
    kind = _KINDS.get(first.format.name.removesuffix("p"))
    if kind is None:
        raise ValueError(f"samples of the format {first.format.name} cannot be read")
    channels = first.layout.nb_channels
    block = np.empty((channels, count), np.float32)
    at = 0
    for frame, start in frames:
        end = at + frame.samples - start
        if frame.format.is_planar:
            for channel, plane in enumerate(frame.planes):
                block[channel, at:end] = np.frombuffer(memoryview(plane), kind, frame.samples)[start:]
        else:
            packed = np.frombuffer(memoryview(frame.planes[0]), kind, frame.samples * channels)
            block[:, at:end] = packed.reshape(-1, channels)[start:].T
        at = end
    if kind == np.uint8:
        block -= 128
        block /= 128
    elif np.dtype(kind).kind == "i":
        block /= float(2 ** (8 * np.dtype(kind).itemsize - 1))
    return _finite(block)


def _finite(block: FloatArray) -> tuple[FloatArray, int]:
    if float(np.vdot(block, block)) < _LOUDEST**2:  # false for what is not a number, too
        return block, 0
    finite = np.isfinite(block)
    bad = int(block.size - np.count_nonzero(finite))
    return np.clip(np.where(finite, block, np.float32(0)), -_LOUDEST, _LOUDEST, dtype=np.float32), bad
