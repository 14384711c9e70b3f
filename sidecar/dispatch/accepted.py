"""Rooms that a worker accepted and was not assigned yet: they are load before they start (livekit/agents#4884)."""

from sidecar.clock import Clock


class AcceptedRooms:
    """Each room once, however often it was offered, until it is assigned or `wait_s` is over.

    The server may give an accepted room to another worker, and does not say so.
    """

    def __init__(self, wait_s: float, clock: Clock) -> None:
        self._wait_s = wait_s
        self._clock = clock
        self._until_s: dict[str, float] = {}

    def add(self, room: str) -> None:
        """Expect the room; wait from now on."""
        self._until_s[room] = self._clock.monotonic() + self._wait_s

    def discard(self, room: str) -> None:
        """Expect it no longer."""
        self._until_s.pop(room, None)

    def clear(self) -> None:
        """Expect none: assignments come on the connection on which they were accepted."""
        self._until_s.clear()

    def __len__(self) -> int:
        self._expire()
        return len(self._until_s)

    def __contains__(self, room: object) -> bool:
        self._expire()
        return room in self._until_s

    def _expire(self) -> None:
        now_s = self._clock.monotonic()
        for room in [room for room, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[room]
