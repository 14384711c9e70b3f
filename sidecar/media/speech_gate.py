"""From the probability of speech in each 32 ms to spans of speech."""

from collections import deque
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from sidecar.types import FloatArray, Options

FRAME_S: Final = 0.032
"""What one probability stands for: 512 samples."""
_GAP_S: Final = 0.1
"""Where the media time jumps by more, speech does not go on across."""

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=10)]


class SpeechGateOptions(Options, frozen=True):
    """Hysteresis and least durations. The thresholds are silero-vad's own defaults."""

    start: Probability = 0.5
    stop: Probability = 0.35
    min_speech_s: Seconds = 0.1
    min_silence_s: Seconds = 0.1
    keep_s: Annotated[float, msgspec.Meta(ge=4, le=600)] = 60.0
    """How long spans are remembered."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run of media time."""

    from_s: float
    to_s: float


class SpeechGate:
    """One person's speech. A run starts at `start`, and ends once `stop` was undercut for `min_silence_s` without
    `start` being reached again; runs shorter than `min_speech_s` are clicks and never count."""

    def __init__(self, options: SpeechGateOptions) -> None:
        self._options = options
        self._closed: deque[Span] = deque()
        self.clear()

    def clear(self) -> None:
        """Forget all that was heard."""
        self._closed.clear()
        self._open_s: float | None = None  # start of the run under way
        self._quiet_s: float | None = None  # since when it has been below `stop`
        self._end_s: float | None = None  # media time after the newest frame

    @property
    def speaking(self) -> bool:
        """Whether the newest sound is speech, long enough to be sure."""
        return self._end_s is not None and self._running(self._end_s) is not None

    def push(self, media_time_s: float, probabilities: FloatArray) -> None:
        """Take consecutive frames, the first of which begins at `media_time_s`."""
        if self._end_s is not None and abs(media_time_s - self._end_s) > _GAP_S:
            self._close(self._end_s)
        for index, probability in enumerate(probabilities.tolist()):
            self._step(media_time_s + index * FRAME_S, probability)
        self._end_s = media_time_s + len(probabilities) * FRAME_S
        while self._closed and self._closed[0].to_s < self._end_s - self._options.keep_s:
            self._closed.popleft()

    def spans(self, from_s: float, to_s: float) -> tuple[Span, ...]:
        """Speech between two media times, cut to them."""
        running = None if self._end_s is None else self._running(self._end_s)
        known = [*self._closed, running] if running is not None else [*self._closed]
        cut = (Span(max(span.from_s, from_s), min(span.to_s, to_s)) for span in known)
        return tuple(span for span in cut if span.to_s > span.from_s)

    def speech_s(self, from_s: float, to_s: float) -> float:
        """Seconds of speech between two media times."""
        return sum(span.to_s - span.from_s for span in self.spans(from_s, to_s))

    def _step(self, frame_s: float, probability: float) -> None:
        if probability >= self._options.start:
            self._quiet_s = None
            if self._open_s is None:
                self._open_s = frame_s
        elif self._open_s is not None and probability < self._options.stop:
            if self._quiet_s is None:
                self._quiet_s = frame_s
            if frame_s + FRAME_S - self._quiet_s >= self._options.min_silence_s:
                self._close(self._quiet_s)

    def _running(self, end_s: float) -> Span | None:
        """The run under way, up to `end_s` or to where it fell quiet, if it is long enough."""
        if self._open_s is None:
            return None
        span = Span(self._open_s, end_s if self._quiet_s is None else self._quiet_s)
        return span if span.to_s - span.from_s >= self._options.min_speech_s else None

    def _close(self, end_s: float) -> None:
        span = self._running(end_s)
        if span is not None:
            self._closed.append(span)
        self._open_s = self._quiet_s = None
