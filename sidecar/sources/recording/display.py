"""The display times of pictures, checked against their decoding times.

A picture is shown later than it is decoded, by a few pictures. In a hole of the recording the display times jump first
and the decoding times follow within these few packets. A display time that is not followed is wrong: one such picture
would otherwise hide all pictures up to its time.
"""

from collections import deque
from collections.abc import Iterator
from statistics import median_low
from typing import Final

from av.packet import Packet
from av.stream import Stream

from sidecar.sources.recording.report import StreamReport

_REORDERED: Final = 17
"""Packets by which display may differ from decoding: H.264 and H.265 allow 16."""
_LEAST_S: Final = 1.0


class DisplayTimes:
    """Takes the packets of one stream, in the order of decoding."""

    def __init__(self, tick_s: float, frame_s: float, report: StreamReport) -> None:
        self._limit = max(_LEAST_S, _REORDERED * frame_s) / tick_s if tick_s else 0.0
        self._report = report
        self._held: deque[Packet[Stream]] = deque()
        self._usual = 0
        """Ticks from decoding to display of most packets; some files have a constant offset."""
        self._moved = 0
        """Ticks by which that changed on the way."""
        self._released = False

    def take(self, packet: "Packet[Stream]") -> "Iterator[Packet[Stream]]":
        """The packets whose display time is certain, usually this one; a wrong time is taken off."""
        self._held.append(packet)
        return self._release(whole=False)

    def flush(self) -> "Iterator[Packet[Stream]]":
        """The packets that are still held, at the end of the stream."""
        return self._release(whole=True)

    def _release(self, *, whole: bool) -> "Iterator[Packet[Stream]]":
        while self._held:
            first = self._held[0]
            pts, dts = first.pts, first.dts
            if pts is not None and dts is not None and self._is_off(pts - dts) and not self._is_followed(pts):
                if len(self._held) <= _REORDERED and not whole:
                    return
                self._follow_most()
                if self._is_off(pts - dts):
                    self._report.odd_stamps += 1
                    pts = None
            first.pts = None if pts is None else pts - self._moved
            self._released = True
            yield self._held.popleft()

    def _is_off(self, ticks: int) -> bool:
        return abs(ticks - self._usual) > self._limit

    def _is_followed(self, pts: int) -> bool:
        """Whether a later packet is decoded at about the time."""
        return any(each.dts is not None and abs(pts - self._usual - each.dts) <= self._limit for each in self._held)

    def _follow_most(self) -> None:
        """Most packets that are held show what is usual. A change on the way moves no picture.

        The last few packets of a stream show nothing, unless they are all that there is.
        """
        if self._released and len(self._held) <= _REORDERED:
            return
        usual = median_low(each.pts - each.dts for each in self._held if each.pts is not None and each.dts is not None)
        if not self._is_off(usual):
            return
        if self._released:
            self._moved += usual - self._usual
        self._usual = usual
