"""Decoded audio frames to chunks of 16 kHz mono, placed by their time stamps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from av.error import FFmpegError

from sidecar.clock import Clock
from sidecar.sources.recording.hearing import Hearing
from sidecar.sources.recording.messages import as_damage
from sidecar.sources.recording.mixing import Mixer
from sidecar.sources.recording.report import StreamReport
from sidecar.sources.recording.sample_clock import SampleClock, Step
from sidecar.types import SAMPLE_RATE_HZ, AudioChunk, FloatArray, Permit

_CHUNK_SAMPLES: Final = SAMPLE_RATE_HZ // 10
_BLOCK_S: Final = 0.25
"""What is mixed and resampled at a time."""
_MOST_PLANES: Final = 8
"""PyAV 18.1 reads beyond FFmpeg's list of planes when there are more. Damaged AAC claims any number of channels."""
_LOUDEST: Final = 1000.0
"""Larger samples count as no numbers: damaged float files hold them."""
_INTERPOLATED_S: Final = 0.005
"""Longest run of bad samples that is interpolated: a period of a voice."""
_KINDS: Final[Mapping[str, type[np.generic]]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}
"""Arrays of FFmpeg's sample formats."""


@dataclass(frozen=True, slots=True)
class Format:
    """What all frames of a block have in common."""

    rate_hz: int
    samples: str
    """FFmpeg's name of the sample format."""
    layout: av.AudioLayout


class Sound:
    """The chunks of one stream, whose frames are given in order.

    A run of chunks is contiguous. A gap in the stamps ends a run with a chunk that may be shorter; what is left at the
    end of the file and fills no chunk is dropped, unless it is all that there is. `sequence`: see `SampleClock`.
    """

    def __init__(self, clock: Clock, permit: Permit, report: StreamReport, *, sequence: bool = False) -> None:
        self._monotonic = clock.monotonic
        self._clock = SampleClock(report, sequence=sequence)
        self._permit = permit
        self._report = report
        self._hearing = Hearing()
        self._mixers: list[Mixer] = []
        self._format: Format | None = None
        self._resampler: av.AudioResampler | None = None
        self._block: list[tuple[av.AudioFrame, int]] = []
        """Frames of one format, each with the samples to skip at its beginning."""
        self._block_samples = 0
        self._run_s = 0.0
        """Media time of the run's first sample."""
        self._sent = 0
        """Samples of the run in chunks, at 16 kHz."""
        self._any = False
        self._pending: FloatArray = np.zeros(0, np.float32)

    def take(self, frame: av.AudioFrame, media_time_s: float | None) -> Iterator[AudioChunk]:
        """The chunks that a frame completes; without a media time it follows the frame before."""
        rate_hz, samples = frame.sample_rate, frame.samples
        if rate_hz <= 0 or not samples:
            return
        length_s = samples / rate_hz
        if self._is_same(frame, rate_hz) and self._clock.continues(media_time_s, length_s):
            self._block.append((frame, 0))
            self._block_samples += samples
            if self._block_samples >= _BLOCK_S * rate_hz:
                self._mix()
                yield from self._chunks()
            return
        for step in self._clock.take(frame, media_time_s, length_s):
            yield from self._place(step)

    def end(self) -> Iterator[AudioChunk]:
        """The last chunks of the file."""
        for step in self._clock.flush():
            yield from self._place(step)
        self._mix()
        self._drain()
        yield from self._chunks(rest=not self._any)

    def notes(self) -> Sequence[str]:
        """What was odd about the sound, as sentences."""
        return [f"audio: {note}" for note in self._hearing.notes(self._mixers)]

    def _is_same(self, frame: av.AudioFrame, rate_hz: int) -> bool:
        """Whether a frame has the present format."""
        format_ = self._format
        return (
            format_ is not None
            and rate_hz == format_.rate_hz
            and frame.format.name == format_.samples
            and frame.layout == format_.layout
        )

    def _place(self, step: Step) -> Iterator[AudioChunk]:
        frame = step.frame
        if step.start_s is not None:
            yield from self._begin_run(step.start_s)
        if not self._is_same(frame, frame.sample_rate):
            yield from self._change(Format(frame.sample_rate, frame.format.name, frame.layout))
        skipped = min(round(step.cut_s * frame.sample_rate), frame.samples)
        self._block.append((frame, skipped))
        self._block_samples += frame.samples - skipped
        if self._block_samples >= _BLOCK_S * frame.sample_rate:
            self._mix()
            yield from self._chunks()

    def _change(self, format_: Format) -> Iterator[AudioChunk]:
        """Continue the run in another format."""
        self._mix()
        if self._format is not None:
            self._report.formats += 1
            if self._format.rate_hz != format_.rate_hz:
                self._drain()
        self._format = format_
        self._mixers.append(Mixer([channel.name for channel in format_.layout.channels], format_.rate_hz))
        yield from self._chunks()

    def _begin_run(self, start_s: float) -> Iterator[AudioChunk]:
        """Continue at a media time after a gap."""
        self._mix()
        self._drain()
        yield from self._chunks(rest=True)
        self._run_s, self._sent = start_s, 0

    def _mix(self) -> None:
        """Mix the block and resample it."""
        if self._block_samples and self._format is not None:
            try:
                block, bad = samples_of(self._block, self._block_samples)
                self._hearing.not_finite += bad
                self._resample(self._mixers[-1].mix(block), self._format.rate_hz)
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
            media_time_s = self._run_s + self._sent / SAMPLE_RATE_HZ
            at += len(samples)
            self._sent += len(samples)
            self._any = True
            yield AudioChunk(samples, media_time_s, self._monotonic(), self._permit)
        self._pending = audio[at:]


def samples_of(frames: Sequence[tuple[av.AudioFrame, int]], count: int) -> tuple[FloatArray, int]:
    """The samples of frames of one format, each from an index on: (channels, count) float32, nominally -1..1.

    Samples that are no numbers, or huge, are replaced; the second result is how many there were. Raises `ValueError`
    for a sample format that has no array.
    """
    first = frames[0][0]
    kind = _KINDS.get(first.format.name.removesuffix("p"))
    if kind is None:
        raise ValueError(f"samples of the format {first.format.name} cannot be read")
    channels = first.layout.nb_channels
    if first.format.is_planar and channels > _MOST_PLANES:
        raise ValueError(f"sound with {channels} channels in planes cannot be read")
    block = np.empty((channels, count), np.float32)
    at = 0
    for frame, start in frames:
        end = at + frame.samples - start
        if frame.format.is_planar:
            for channel, plane in enumerate(frame.planes[:channels]):
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
    return _finite(block, first.sample_rate)


def _finite(block: FloatArray, rate_hz: int) -> tuple[FloatArray, int]:
    """The block with numbers only, and how many samples were none. Short runs are interpolated, long ones are 0."""
    if float(np.vdot(block, block)) < _LOUDEST**2:  # false for what is not a number, too
        return block, 0
    good = np.abs(block) <= _LOUDEST
    filled = np.where(good, block, np.float32(0))
    for samples, usable in zip(filled, good, strict=True):
        kept = np.flatnonzero(usable)
        if not len(kept) or len(kept) == len(samples):
            continue
        lost = np.flatnonzero(~usable)
        run = np.diff(np.concatenate([[-1], kept, [len(samples)]])) - 1  # lost samples before each kept one
        short = run[np.searchsorted(kept, lost)] <= max(1, _INTERPOLATED_S * rate_hz)
        samples[lost[short]] = np.interp(lost[short], kept, samples[kept])
    return filled, int(block.size - np.count_nonzero(good))
