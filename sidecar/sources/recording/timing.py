"""From a file's time stamps to media time, for all its streams together.

Media time begins at the file's start, which is one origin for all streams. Each stream has a shift, which is added to
its stamps. A stamp that is close to the end of its stream's newest packet changes nothing. Anything else is one of:

- an odd stamp: the stamps return within a few packets. These packets lose their stamps.
- a restart: the stamps go back and stay there. What follows is appended to what came before.
- a gap: the stamps go ahead and stay there. It is kept if it is at most `MAX_HOLE_S`, or if the other stream fills it.
- a jump: a longer hole, in both streams. It is closed, because an estimate is due for each second of media time.

The holes kept in one file are limited in total as well: `_HOLES_S` and `_HOLES_SHARE` of the content.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from sidecar.sources.recording.report import StreamReport

Item = TypeVar("Item")

MAX_HOLE_S: Final = 600.0
_HOLES_S: Final = 3600.0
_HOLES_SHARE: Final = 4.0
_SHORT_HOLE_S: Final = 10.0
"""Holes up to this do not count into the total: slide shows consist of them."""
CLOSE_S: Final = 1.0
"""Stamps this close to the expected ones are no jump."""
_CLOSE_PACKETS: Final = 16
"""The same in packets, where pictures are stamped by display, not by decoding order: they are that far out of order."""
_LOOKAHEAD: Final = 8
"""Packets of a stream that are looked at before a jump is believed."""
_LONG_LOOKAHEAD: Final = 128
"""The same at a hole of more than `_SHORT_HOLE_S`."""
_CONTRADICTED_S: Final = 2.0
"""Content of the other stream that shows a long hole to be none; streams are interleaved more finely than that."""
_OTHER_SHIFT_S: Final = 0.5
"""Overlap up to which a shift of the other stream is taken over: streams do not end at the same moment."""
_SAME_PART_S: Final = 10.0
"""A restart continues behind the longest stream, unless this stream ended that much earlier."""
_SHIFTS: Final = 4


@dataclass(slots=True)
class Stamped(Generic[Item]):
    """An item with the time stamp its file gives it."""

    item: Item
    stamp_s: float | None
    """By decoding order where the file says it, else by display."""
    duration_s: float
    """0 where unknown."""
    ordered: bool = True
    """False where the stamp is by display, so that neighbours may be out of order."""


@dataclass(slots=True)
class Placed(Generic[Item]):
    """An item whose stamp became media time, `shift_s` later or earlier."""

    item: Item
    shift_s: float | None
    """None: the stamp is to be ignored, and the item follows the one before."""


@dataclass(slots=True)
class _Stream(Generic[Item]):
    report: StreamReport
    shifts: deque[float]
    """Newest last."""
    end_s: float = 0.0
    """Media time after the newest packet."""
    held: deque[Stamped[Item]] = field(default_factory=deque)
    others_s: float = 0.0
    """What the other streams had reached when the first one was held."""

    @property
    def shift_s(self) -> float:
        return self.shifts[-1]

    def off_s(self, stamped: Stamped[Item], shift_s: float) -> float:
        """How far from its expected place the item would be under a shift; 0 without a stamp."""
        return 0.0 if stamped.stamp_s is None else stamped.stamp_s + shift_s - self.end_s

    def fits(self, stamped: Stamped[Item], shift_s: float, after_s: float = 0.0) -> bool:
        tolerance_s = max(CLOSE_S, (3 if stamped.ordered else _CLOSE_PACKETS) * stamped.duration_s)
        return abs(self.off_s(stamped, shift_s) - after_s) <= tolerance_s

    def take(self, stamped: Stamped[Item], shift_s: float | None) -> Placed[Item]:
        """Move the end of the stream behind the item."""
        if stamped.stamp_s is None or shift_s is None:
            self.end_s += stamped.duration_s
        else:
            end_s = stamped.stamp_s + shift_s + stamped.duration_s
            self.end_s = end_s if stamped.ordered else max(end_s, self.end_s)
        return Placed(stamped.item, shift_s)

    def adopt(self, shift_s: float) -> None:
        if shift_s in self.shifts:
            self.shifts.remove(shift_s)
        self.shifts.append(shift_s)


class Timeline(Generic[Item]):
    """Places the packets of a file's streams, given in the order of the file."""

    def __init__(self, reports: Mapping[int, StreamReport], origin_s: float | None) -> None:
        self._streams: Mapping[int, _Stream[Item]] = {
            key: _Stream(report, deque(maxlen=_SHIFTS)) for key, report in reports.items()
        }
        self._origin_s = origin_s
        self._holes_s = self._content_s = 0.0

    def follow(self, key: int, stamp_s: float, duration_s: float) -> float | None:
        """The shift for a packet that simply continues its stream, or None: then it is to be placed by `place`.

        For packets stamped by decoding order. This is what nearly all packets need, and `place` costs more.
        """
        stream = self._streams[key]
        if stream.held or not stream.shifts:
            return None
        shift_s = stream.shifts[-1]
        at_s = stamp_s + shift_s
        if abs(at_s - stream.end_s) > CLOSE_S:
            return None
        stream.end_s = at_s + duration_s
        self._content_s += duration_s
        return shift_s

    def place(self, key: int, stamped: Stamped[Item]) -> Sequence[Placed[Item]]:
        """Take a packet of the stream `key`; returns packets of that stream that are placed, in their order."""
        stream = self._streams[key]
        if not stream.shifts:
            if self._origin_s is None:
                self._origin_s = stamped.stamp_s
            stream.adopt(-(self._origin_s or 0.0))
        self._content_s += stamped.duration_s
        if not stream.held:
            stream.others_s = self._others_s(stream)
        stream.held.append(stamped)
        return list(self._release(stream, whole=False))

    def flush(self, key: int) -> Sequence[Placed[Item]]:
        """The packets of a stream that are still held, at the end of the file."""
        return list(self._release(self._streams[key], whole=True))

    def _release(self, stream: _Stream[Item], *, whole: bool) -> Iterator[Placed[Item]]:
        while stream.held:
            first = stream.held[0]
            if stream.fits(first, stream.shift_s):
                yield stream.take(stream.held.popleft(), stream.shift_s)
            elif self._returns(stream):
                stream.report.odd_stamps += 1
                yield stream.take(stream.held.popleft(), None)
            elif whole or self._is_decided(stream, first):
                self._jump(stream, first)
                yield stream.take(stream.held.popleft(), stream.shift_s)
            else:
                return

    def _others_s(self, stream: _Stream[Item]) -> float:
        """Media time that the other streams have reached."""
        return max((other.end_s for other in self._streams.values() if other is not stream), default=0.0)

    def _is_decided(self, stream: _Stream[Item], first: Stamped[Item]) -> bool:
        """Whether enough packets have been seen. At a long hole, more of them may show what the other stream does."""
        if len(stream.held) < _LOOKAHEAD:
            return False
        if stream.off_s(first, stream.shift_s) <= _SHORT_HOLE_S or len(stream.held) >= _LONG_LOOKAHEAD:
            return True
        return self._is_shared(stream, first) or self._is_contradicted(stream)

    def _is_shared(self, stream: _Stream[Item], first: Stamped[Item]) -> bool:
        """Whether another stream is behind the hole as well."""
        at_s = stream.end_s + stream.off_s(first, stream.shift_s)
        others = [other for other in self._streams.values() if other is not stream and other.shifts]
        ahead_s = [other.end_s + (other.off_s(other.held[0], other.shift_s) if other.held else 0.0) for other in others]
        return any(each_s + _SAME_PART_S >= at_s for each_s in ahead_s)

    def _is_contradicted(self, stream: _Stream[Item]) -> bool:
        """Whether another stream went on as if there were no hole."""
        return self._others_s(stream) >= stream.others_s + _CONTRADICTED_S

    @staticmethod
    def _returns(stream: _Stream[Item]) -> bool:
        """Whether a later packet continues where the stream was before the first one that is held."""
        after_s = 0.0
        for stamped in stream.held:
            if after_s and stamped.stamp_s is not None and stream.fits(stamped, stream.shift_s, after_s):
                return True
            after_s += max(stamped.duration_s, 1e-6)
        return False

    def _jump(self, stream: _Stream[Item], first: Stamped[Item]) -> None:
        """Choose the shift for a stream whose stamps went elsewhere for good."""
        assert first.stamp_s is not None
        others = [other for other in self._streams.values() if other is not stream and other.shifts]
        known = [shift for each in (stream, *others) for shift in each.shifts]
        off_s = stream.off_s(first, stream.shift_s)
        ends = [other.end_s for other in others]
        for shift_s in sorted(set(known), key=lambda shift: abs(stream.off_s(first, shift))):
            if shift_s != stream.shift_s and -_OTHER_SHIFT_S <= stream.off_s(first, shift_s) <= _SAME_PART_S:
                break
        else:
            if off_s >= 0 and self._keeps(stream, first, off_s):
                return
            near = [end_s for end_s in ends if off_s < 0 and abs(end_s - stream.end_s) <= _SAME_PART_S]
            shift_s = max([stream.end_s, *near]) - first.stamp_s
        stream.adopt(shift_s)
        if off_s < 0:
            stream.report.restarts += 1
        else:
            stream.report.closed += 1
            stream.report.closed_s += off_s

    def _keeps(self, stream: _Stream[Item], first: Stamped[Item], hole_s: float) -> bool:
        """Whether a hole is a gap; the longer ones are limited in total."""
        if hole_s <= _SHORT_HOLE_S or self._others_s(stream) + _SAME_PART_S >= stream.end_s + hole_s:
            return True
        if hole_s > MAX_HOLE_S or (self._is_contradicted(stream) and not self._is_shared(stream, first)):
            return False
        self._holes_s += hole_s
        return self._holes_s <= _HOLES_S + _HOLES_SHARE * self._content_s
