"""Media time of what LiveKit delivers: seconds since the epoch began, one origin for everybody."""

from typing import Final

from sidecar.types import SAMPLE_RATE_HZ

DRIFT_S: Final = 0.2
"""Difference between counted samples and the clock that is corrected."""

_GAP_S: Final = 1.0
_LATE_CHUNKS: Final = 5


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
        """Media time of the first of `samples`, the last of which arrived at media time `arrived_s`."""
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
        """True for a frame at `time_s` that is due; frames a little early count, as cameras are not exact."""
        if time_s < self._due_s - 0.1 * self._period_s:
            return False
        on_schedule_s = self._due_s + self._period_s
        self._due_s = on_schedule_s if on_schedule_s > time_s else time_s + self._period_s
        return True
