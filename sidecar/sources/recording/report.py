"""What a reader skipped, closed, shifted or found odd, as counters and as sentences for the operator."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_REPORTED_GAP_S: Final = 1.0
_FEW_LOST: Final = 4
"""Pictures at the beginning of a stream may refer to some before it."""
_MOST_LOST: Final = 0.4


@dataclass(slots=True)
class StreamReport:
    """The findings about one stream, `name` being "video" or "audio"."""

    name: str
    undecodable: Counter[str] = field(default_factory=Counter)
    """Packets that the decoder refused, by the error's words."""
    skipped_pictures: int = 0
    """Decoded, but flagged as damaged."""
    restarts: int = 0
    """Times at which the time stamps began again; the content was appended."""
    closed_s: float = 0.0
    """Media time of holes that were too long to be real and were closed."""
    closed: int = 0
    odd_stamps: int = 0
    """Packets with a time stamp far from their neighbours'; they were placed after the packet before."""
    unreadable: int = 0
    """Times at which the file could not be read on and reading was tried again."""
    gave_up: bool = False
    """The file could not be read on although its end was not reached."""
    unsupported: bool = False
    """The reason for that is a feature that FFmpeg lacks."""
    gaps: int = 0
    gap_s: float = 0.0
    """Without samples, in gaps of at least `_REPORTED_GAP_S`."""
    overlap_s: float = 0.0
    """Sound that was dropped because its time was taken already."""
    formats: int = 0
    """Changes of sample rate, channels or picture size."""
    read_to_s: float = 0.0
    """Media time at which the newest unit ends."""
    read_bytes: int = 0
    """Where in the file the newest packet ends."""
    sent: int = 0
    """Packets given to the decoder, without those that it refused."""
    decoded: int = 0
    """Frames."""
    one_each: bool = False
    """Each packet should give a frame."""

    @property
    def without_frame(self) -> int:
        """Packets that the decoder dropped without an error; 0 for a few, and for pictures in two packets each."""
        lost = self.sent - self.decoded
        return lost if self.one_each and _FEW_LOST < lost < _MOST_LOST * self.sent else 0

    def gap(self, seconds: float) -> None:
        """Count a gap between samples."""
        if seconds >= _REPORTED_GAP_S:
            self.gaps += 1
            self.gap_s += seconds

    def sentences(self) -> Sequence[str]:
        """The findings, most important first."""
        damage = sum(self.undecodable.values())
        reasons = ", ".join(f"{words} ({count})" for words, count in self.undecodable.most_common(2))
        found = (
            (self.gave_up and not self.unsupported, "could not be read to its end; the file is damaged"),
            (
                self.gave_up and self.unsupported,
                "could not be read to its end: the rest uses a feature that this program cannot decode, such as a "
                "change of its channels",
            ),
            (damage, f"{_count(damage, 'damaged packet')} skipped: {reasons}"),
            (self.without_frame, f"{_count(self.without_frame, 'packet')} gave no picture; the file is damaged"),
            (self.skipped_pictures, f"{_count(self.skipped_pictures, 'damaged picture')} skipped"),
            (self.unreadable and not self.gave_up, f"{_count(self.unreadable, 'unreadable place')} skipped"),
            (
                self.restarts,
                f"the time stamps begin again {_times(self.restarts)}; what follows is appended",
            ),
            (
                self.closed,
                f"the time stamps jump ahead {_times(self.closed)}, by {_span(self.closed_s)}; the hole was closed",
            ),
            (self.odd_stamps, f"{_count(self.odd_stamps, 'packet')} with an impossible time stamp, placed by order"),
            (self.gaps, f"{_count(self.gaps, 'gap')} of {_span(self.gap_s)} in total"),
            (self.overlap_s >= 0.1, f"{_span(self.overlap_s)} that overlap in time, dropped"),
            (self.formats, f"the format changes {_times(self.formats)}"),
        )
        return [f"{self.name}: {text}" for holds, text in found if holds]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
