"""Media time of what LiveKit delivers: seconds since the epoch began, one origin for all people."""

from typing import Final

from sidecar.types import SAMPLE_RATE_HZ

DRIFT_S: Final = 0.2
"""Difference between counted samples and the clock that is corrected."""

_GAP_S: Final = 1.0
_LATE_CHUNKS: Final = 5
_OTHER_CLOCK_S: Final = 5.0


def shown_s(timestamp_us: int, arrived_s: float) -> float:
    """Monotonic time of a frame, from the SDK's stamp: on the same clock, the moment at which the frame is due for
    display, up to 10 ms ahead. A stamp far from the arrival is not on this clock, and the arrival counts."""
    stamp_s = timestamp_us / 1e6
    return min(stamp_s, arrived_s) if abs(arrived_s - stamp_s) < _OTHER_CLOCK_S else arrived_s


class AudioTimeline:
    """Gives chunks without timestamps their media time: counts samples, and holds the count against arrivals.

    A chunk may be late because this process was busy, and the next ones then catch up; so lateness counts only
    when `_LATE_CHUNKS` in a row are late, by the least of them, or when it is too large for a busy moment.
    """

    def __init__(self) -> None:
        self._next_s: float | None = None
        self._late_s: list[float] = []
        self.corrections = 0

    def stamp(self, samples: int, arrived_s: float) -> float:
        """Media time of the first of `samples` samples; the last one arrived at media time `arrived_s`."""
        duration_s = samples / SAMPLE_RATE_HZ
        by_arrival_s = arrived_s - duration_s
        if self._next_s is None:
            self._next_s = by_arrival_s
        late_s = by_arrival_s - self._next_s
        self._late_s = [*self._late_s, late_s] if late_s > DRIFT_S else []
        if late_s > _GAP_S or late_s < -DRIFT_S:
            self._correct(late_s)
        elif len(self._late_s) == _LATE_CHUNKS:
            self._correct(min(self._late_s))
        start_s = self._next_s
        self._next_s += duration_s
        return start_s

    def _correct(self, by_s: float) -> None:
        if self._next_s is not None:
            self._next_s += by_s
        self._late_s = []
        self.corrections += 1


class FrameRate:
    """Lets at most `fps` frames a second through, evenly spaced."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps
        self._due_s = float("-inf")

    def takes(self, time_s: float) -> bool:
        """True for a frame at `time_s` that is due; frames a little early count, as cameras are not exact.

        No frame is due later than a period after the last one, so a time long before that means that the clock of the
        frames went back: it counts from there.
        """
        early_s = self._due_s - time_s
        if 0.1 * self._period_s < early_s < self._period_s + _GAP_S:
            return False
        on_schedule_s = self._due_s + self._period_s
        on_time = time_s < on_schedule_s < time_s + 2 * self._period_s
        self._due_s = on_schedule_s if on_time else time_s + self._period_s
        return True
