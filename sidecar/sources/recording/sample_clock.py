"""The media time of audio frames: samples are counted, and time stamps correct the count where they differ for good.

Stamps are rounded, jitter, and drift against the samples. A single frame's stamp therefore changes nothing: a gap or an
overlap is what a few frames in a row agree on.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import av

from sidecar.sources.recording.report import StreamReport

_JITTER_S: Final = 0.05
"""Stamps this much late are rounding and jitter. Later ones are a gap."""
_OVERLAP_S: Final = 0.2
"""Sound stamped this much early is taken whole, which shifts it; earlier sound overlaps, and is cut."""
_FRAMES: Final = 5
"""Frames that must agree."""
_ADVANCE: Final = 0.75
"""Stamps that advance by less than this share of the samples are wrong."""
_LEAST_TRUST_S: Final = 5.0
_LARGEST_CUT: Final = 0.2
"""If more than this share of the sound overlaps, the stamps are wrong rather than the sound."""


@dataclass(frozen=True, slots=True)
class Step:
    """A frame and its place."""

    frame: av.AudioFrame
    start_s: float | None
    """Media time at which a run begins with this frame; None where it continues the run."""
    cut_s: float
    """Seconds at the frame's beginning whose time is taken already."""


class SampleClock:
    """Places the frames of one stream, given in order.

    In a format that is a mere sequence of frames sound cannot overlap: stamps that are too early are wrong.
    """

    def __init__(self, report: StreamReport, *, sequence: bool = False) -> None:
        self._report = report
        self._sequence = sequence
        self._held: deque[tuple[av.AudioFrame, float | None, float]] = deque()  # with its stamp and length in seconds
        self._end_s: float | None = None
        self._stamp_s: float | None = None  # of the newest frame
        self._length_s = 0.0
        self._total_s = 0.0

    def continues(self, stamp_s: float | None, length_s: float) -> bool:
        """Take a frame that simply continues the run, as nearly all do. False: it is to be taken by `take`."""
        end_s = self._end_s
        if end_s is None or stamp_s is None or self._held or not -_OVERLAP_S <= stamp_s - end_s <= _JITTER_S:
            return False
        self._stamp_s, self._length_s = stamp_s, length_s
        self._end_s = self._report.read_to_s = end_s + length_s
        self._total_s += length_s
        return True

    def take(self, frame: av.AudioFrame, stamp_s: float | None, length_s: float) -> Iterator[Step]:
        """The frames whose place is certain, usually this one."""
        self._held.append((frame, self._trusted(stamp_s), length_s))
        self._length_s = length_s
        return self._release(whole=False)

    def flush(self) -> Iterator[Step]:
        """The frames that are still held, at the end of the file."""
        return self._release(whole=True)

    def _trusted(self, stamp_s: float | None) -> float | None:
        """The stamp of a frame, or None if the stamps stand still although samples go on."""
        before_s, self._stamp_s = self._stamp_s, stamp_s
        if stamp_s is None or before_s is None:
            return stamp_s
        return None if 0 <= stamp_s - before_s < _ADVANCE * self._length_s else stamp_s

    def _release(self, *, whole: bool) -> Iterator[Step]:
        while self._held:
            frame, stamp_s, length_s = self._held[0]
            if self._end_s is None:
                self._end_s = max(0.0, stamp_s or 0.0)
                step = Step(frame, self._end_s, 0.0)
            else:
                off_s = self._agreed_off_s(self._end_s)
                if off_s and len(self._held) < _FRAMES and not whole:
                    return
                step = self._step(frame, length_s, off_s, self._end_s)
            self._held.popleft()
            self._end_s = (self._end_s if step.start_s is None else step.start_s) + length_s - step.cut_s
            self._total_s += length_s
            self._report.read_to_s = self._end_s
            yield step

    def _agreed_off_s(self, end_s: float) -> float:
        """How late the held frames are at least, or how early (negative); 0 if one of them is in its place."""
        least_s: float | None = None
        for _, stamp_s, length_s in self._held:
            off_s = 0.0 if stamp_s is None else stamp_s - end_s
            if -_OVERLAP_S <= off_s <= _JITTER_S or (least_s is not None and (off_s > 0) != (least_s > 0)):
                return 0.0
            if least_s is None or abs(off_s) < abs(least_s):
                least_s = off_s
            end_s += length_s
        return least_s or 0.0

    def _step(self, frame: av.AudioFrame, length_s: float, off_s: float, end_s: float) -> Step:
        if off_s > 0:
            self._report.gap(off_s)
            return Step(frame, end_s + off_s, 0.0)
        if off_s == 0 or self._sequence or self._report.overlap_s > max(_LEAST_TRUST_S, _LARGEST_CUT * self._total_s):
            return Step(frame, None, 0.0)
        cut_s = min(-off_s, length_s)
        self._report.overlap_s += cut_s
        return Step(frame, None, cut_s)
