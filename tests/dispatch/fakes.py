"""Stand-ins for what the dispatch talks to: leases, LiveKit's rooms, an observer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.clock import Clock
from sidecar.dispatch.agent_protocol import Assignment
from sidecar.dispatch.livekit_server import RoomGone
from sidecar.dispatch.rooms import Attendance, Dispatch
from sidecar.errors import CredentialsRefused, Unavailable


class MemoryLeases:
    """`LeaseStore` in memory; `away` makes it unreachable."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, tuple[str, float]] = {}
        self.away = False
        self.refusing = False
        """Redis answers, but no longer lets us in."""

    async def claim(self, key: str, holder: str, ttl_s: float) -> str:
        current = self._holder(key)
        if current not in (None, holder):
            assert current is not None
            return current
        self._held[key] = (holder, self._clock.monotonic() + ttl_s)
        return holder

    async def release(self, key: str, holder: str) -> None:
        if self._holder(key) == holder:
            del self._held[key]

    async def holders(self, keys: Sequence[str]) -> list[str | None]:
        self._check()
        return [self._holder(key) for key in keys]

    def forget(self) -> None:
        """What a restart of Redis without persistence does."""
        self._held.clear()

    def _holder(self, key: str) -> str | None:
        self._check()
        holder, until_s = self._held.get(key, (None, 0.0))
        return holder if self._clock.monotonic() < until_s else None

    def _check(self) -> None:
        if self.refusing:
            raise CredentialsRefused("Redis refused the credentials: NOPERM")
        if self.away:
            raise Unavailable("Redis cannot be reached: it is away")


@dataclass
class FakeRoom:
    """A room as the API shows it."""

    people: bool = True
    observer: bool = False
    dispatches: list[Dispatch] = field(default_factory=list)


class MemoryRooms:
    """`RoomService` in memory. `log` lists what changed the rooms, in order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.known: dict[str, FakeRoom] = {}
        self.failing: set[str] = set()
        self.errors: dict[str, Exception] = {}
        """What looking at a room raises instead; under `""`, what the listing raises."""
        self.listing_s = 0.0
        """How long the listing takes."""
        self.look_s = 0.0
        self.log: list[str] = []
        self.listings = 0
        self.looks = 0

    async def rooms(self) -> list[str]:
        self.listings += 1
        known = list(self.known)
        if self.listing_s:
            await self._clock.sleep(self.listing_s)
        if "" in self.errors:
            raise self.errors[""]
        return known

    async def attendance(self, room: str) -> Attendance:
        self.looks += 1
        if self.look_s:
            await self._clock.sleep(self.look_s)
        if room in self.failing:
            raise Unavailable("LiveKit answered 503")
        if room in self.errors:
            raise self.errors[room]
        found = self.known.get(room)
        return Attendance(found is not None and found.people, found is not None and found.observer)

    async def dispatches(self, room: str) -> list[Dispatch]:
        return list(self._room(room).dispatches)

    async def create_dispatch(self, room: str) -> Dispatch:
        dispatch = Dispatch(f"AD_{len(self.log)}", self._clock.wall())
        self.known.setdefault(room, FakeRoom(people=False)).dispatches.append(dispatch)
        self.log.append(f"create {room}")
        return dispatch

    async def delete_dispatch(self, room: str, dispatch_id: str) -> None:
        found = self._room(room)
        kept = [each for each in found.dispatches if each.id != dispatch_id]
        if len(kept) == len(found.dispatches):
            raise RoomGone("no such dispatch")
        found.dispatches = kept
        self.log.append(f"delete {room}")

    async def remove_observer(self, room: str) -> None:
        found = self._room(room)
        if not found.observer:
            raise RoomGone("no such participant")
        found.observer = False
        self.log.append(f"remove {room}")

    def _room(self, room: str) -> FakeRoom:
        if room not in self.known:
            raise RoomGone("no such room")
        return self.known[room]


class PatientObserver:
    """A `RoomObserver` that stays until it is told to end, and remembers what became of each room."""

    def __init__(self) -> None:
        self.assignments: dict[str, Assignment] = {}
        self.left: list[str] = []
        self._ends: dict[str, asyncio.Future[None]] = {}
        self.changed = asyncio.Event()
        self.reluctant = False
        """Never done with leaving."""

    async def observe(self, assignment: Assignment) -> None:
        self.assignments[assignment.room] = assignment
        end = self._ends[assignment.room] = asyncio.get_running_loop().create_future()
        self.changed.set()
        try:
            await end
        finally:
            if self.reluctant:
                await asyncio.get_running_loop().create_future()
            self.left.append(assignment.room)
            self.changed.set()

    def end(self, room: str, error: Exception | None = None) -> None:
        """Let the call of a room end, or fail."""
        if error is None:
            self._ends[room].set_result(None)
        else:
            self._ends[room].set_exception(error)
