"""Sees to it that every room with people in it has a dispatch that works.

Stateless but for what it has seen so far: any watcher can take over from any other at any time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from sidecar.clock import Clock
from sidecar.dispatch.containment import contained, leaves
from sidecar.dispatch.judgement import JudgementOptions, Verdict, judge
from sidecar.dispatch.leadership import Leadership, Role
from sidecar.dispatch.lease import LeaseStore, room_key
from sidecar.dispatch.livekit_server import RoomGone
from sidecar.dispatch.memory import RoomMemory
from sidecar.dispatch.rooms import Attendance, Dispatch, RoomService
from sidecar.errors import CredentialsRefused, Unavailable
from sidecar.supervisor import describe
from sidecar.types import Options

_log = logging.getLogger(__name__)

_VIEWS_AT_ONCE: Final = 8
_WOKEN_AT_ONCE: Final = 64
_WOKEN_MOST: Final = 1024
"""More rooms than this are not kept between two looks: the next full round finds them."""
_NOBODY: Final = Attendance(people=False, observer=False)


class WatcherOptions(Options, frozen=True):
    """How closely rooms are watched."""

    period_s: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 1.0
    """Time between two full rounds, seconds; webhooks neither delay nor hasten them."""
    doubtful_period_s: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 0.4
    """The same while a worker may just have died."""
    wake_spacing_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.3
    """Least time between two looks for webhooks, seconds. The first look after a pause is made at once."""
    leader_ttl_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 3.0
    """A leader that is silent for this long is replaced."""
    settled_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0
    """A room observed for this long has its attempts forgotten."""
    spacing_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.2
    """Wait after a dispatch, so that the next one is dealt by loads that know of it."""
    spacing_per_round_s: Annotated[float, msgspec.Meta(ge=0, le=30)] = 2.0
    """Longest sum of these waits in a round."""
    judgement: JudgementOptions = JudgementOptions()


@dataclass(frozen=True, slots=True)
class _Need:
    """An unattended room and what is left in it."""

    room: str
    memory: RoomMemory
    dispatches: Sequence[Dispatch]


class Watcher:
    """Reconciles rooms, leases and dispatches, as long as it leads.

    Two loops share the work. One makes full rounds, the other looks at rooms that a webhook named. Neither waits for
    the other: webhooks cannot starve the full rounds, and a slow listing does not hold up a new room.
    """

    def __init__(
        self,
        rooms: RoomService,
        leases: LeaseStore,
        leadership: Leadership,
        options: WatcherOptions,
        clock: Clock,
    ) -> None:
        self._rooms = rooms
        self._leases = leases
        self._leadership = leadership
        self._options = options
        self._clock = clock
        self._memories: dict[str, RoomMemory] = {}
        self._woken: dict[str, None] = {}  # a set in the order of arrival
        self._wake = asyncio.Event()
        self._at_work: set[str] = set()
        """Rooms that one of the loops looks at or attaches; the other leaves them alone."""
        self._dispatching = asyncio.Lock()
        self._doubtful = False
        self._failing: set[str] = set()

    def wake(self, room: str) -> None:
        """Look at a room soon: something happened in it."""
        if len(self._woken) < _WOKEN_MOST:
            self._woken[room] = None
            self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled. Raises `CredentialsRefused` and nothing else; whatever else fails is tried again."""
        refusal: CredentialsRefused | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._make_full_rounds())
                group.create_task(self._follow_webhooks())
        except* CredentialsRefused as refused:
            refusal = _refusal(refused)
        finally:
            await self._leadership.resign()
        if refusal is not None:
            raise refusal

    async def round(self) -> None:
        """Look at all rooms, and give each what it needs."""
        self._doubtful = False
        started_s = self._clock.monotonic()
        role = await self._leadership.role()
        if role is Role.FOLLOWER:
            self._memories.clear()
            return
        async with self._leadership.kept():
            rooms = await self._rooms.rooms()
            self._forget_all_but(rooms, started_s)
            await self._tend(rooms, standby=role is Role.STANDBY)

    async def _make_full_rounds(self) -> None:
        while True:
            await self._attempt("full round", self.round)
            await self._clock.sleep(self._options.doubtful_period_s if self._doubtful else self._options.period_s)

    async def _follow_webhooks(self) -> None:
        while True:
            await self._wake.wait()
            await self._attempt("look for webhooks", self._look_at_woken)
            await self._clock.sleep(self._options.wake_spacing_s)

    async def _look_at_woken(self) -> None:
        woken = list(self._woken)[:_WOKEN_AT_ONCE]
        for room in woken:
            del self._woken[room]
        if not self._woken:
            self._wake.clear()
        role = await self._leadership.role()
        if role is not Role.FOLLOWER:
            async with self._leadership.kept():
                await self._tend(woken, standby=role is Role.STANDBY)

    async def _attempt(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`; log what it fails of, once until it succeeds again. Raises `CredentialsRefused`."""
        failure = await contained(work)
        if failure is None:
            self._failing.discard(name)
            return
        causes = leaves(failure)
        refused = next((each for each in causes if isinstance(each, CredentialsRefused)), None)
        if refused is not None:
            raise refused
        repeated = name in self._failing  # it is tried every second
        self._failing.add(name)
        expected = all(isinstance(each, Unavailable) for each in causes)
        level = logging.DEBUG if repeated else logging.WARNING if expected else logging.ERROR
        _log.log(level, "%s failed, trying again: %s", name, "; ".join(map(describe, causes)))

    async def _tend(self, rooms: Sequence[str], *, standby: bool) -> None:
        """Look at the rooms and attach those in need, except where the other loop is at it."""
        mine = [room for room in dict.fromkeys(rooms) if room not in self._at_work]
        self._at_work.update(mine)
        try:
            needs = await self._needs(mine, standby=standby)
            self._at_work.difference_update(set(mine) - {need.room for need in needs})
            await self._attach_all(needs)
        finally:
            self._at_work.difference_update(mine)

    async def _attach_all(self, needs: Sequence[_Need]) -> None:
        spacing_s = min(self._options.spacing_s, self._options.spacing_per_round_s / max(1, len(needs)))
        for need in needs:
            async with self._dispatching:
                if await self._leadership.role() is Role.FOLLOWER:
                    return
                await self._attach(need)
                await self._clock.sleep(spacing_s)

    async def _needs(self, rooms: Sequence[str], *, standby: bool) -> list[_Need]:
        holders = await self._holders(rooms)
        limit = asyncio.Semaphore(_VIEWS_AT_ONCE)

        async def look(room: str) -> _Need | None:
            async with limit:
                attendance = await self._rooms.attendance(room)
                # About a room that is gone the server would be silent for seconds.
                dispatches = await self._rooms.dispatches(room) if attendance.people else []
            return self._judge(room, attendance, dispatches, leased=False, standby=standby)

        for room, holder in zip(rooms, holders, strict=True):
            if holder is not None:  # a live lease is enough: most rooms cost the server nothing
                self._judge(room, _NOBODY, [], leased=True, standby=standby)
        looked = [room for room, holder in zip(rooms, holders, strict=True) if holder is None]
        # gather returns failures as values: a room that cannot be looked at stops no other.
        found = await asyncio.gather(*(look(room) for room in looked), return_exceptions=True)
        self._report([each for each in found if isinstance(each, BaseException)])
        return [each for each in found if isinstance(each, _Need)]

    def _report(self, failures: Sequence[BaseException]) -> None:
        """Log rooms that were not looked at. Raises `CredentialsRefused`."""
        name = "look at some rooms"
        unexpected = [each for each in failures if not isinstance(each, RoomGone)]
        for each in unexpected:
            if isinstance(each, CredentialsRefused):
                raise each
        if not unexpected:
            self._failing.discard(name)
            return
        level = logging.DEBUG if name in self._failing else logging.WARNING
        self._failing.add(name)
        _log.log(level, "%d rooms not checked, for example: %s", len(unexpected), describe(unexpected[0]))

    async def _holders(self, rooms: Sequence[str]) -> list[str | None]:
        try:
            return await self._leases.holders([room_key(room) for room in rooms])
        except (Unavailable, CredentialsRefused):
            self._leadership.lost_redis()
            return [None] * len(rooms)

    def _judge(
        self, room: str, attendance: Attendance, dispatches: Sequence[Dispatch], *, leased: bool, standby: bool
    ) -> _Need | None:
        memory = self._memories.setdefault(room, RoomMemory())
        trusted = self._leadership.leases_trusted
        view = memory.view(self._clock, attendance, dispatches, leased=leased, leases_trusted=trusted, standby=standby)
        verdict = judge(view, self._options.judgement)
        memory.remember(verdict, self._clock.monotonic(), self._options.settled_s)
        self._doubtful |= verdict is Verdict.DOUBTFUL
        if verdict is Verdict.EMPTY and not memory.listed:
            del self._memories[room]  # webhooks about rooms that are gone must not fill the memory
        return _Need(room, memory, dispatches) if verdict is Verdict.UNATTENDED else None

    def _forget_all_but(self, rooms: Iterable[str], since_s: float) -> None:
        """Keep the memories of `rooms`, and of those that were first looked at while the listing was under way."""
        recent = {room: memory for room, memory in self._memories.items() if memory.seen_s >= since_s}
        listed = {room: self._memories.get(room, RoomMemory(listed=True)) for room in rooms}
        for memory in self._memories.values():
            memory.listed = False
        for memory in listed.values():
            memory.listed = True
        self._memories = recent | listed

    async def _attach(self, need: _Need) -> None:
        """Withdraw what does not work and make one new dispatch."""
        memory = need.memory
        try:
            for dispatch in need.dispatches:
                await self._delete(need.room, dispatch.id)
            # Looked at again: a dispatch would bring back a room that closed meanwhile. And a dead observer goes
            # first: its successor's arrival would put it out, for which the server terminates the successor's job.
            attendance = await self._rooms.attendance(need.room)
            if not attendance.people:
                return
            if attendance.observer:
                await self._remove_observer(need.room)
            memory.attempt(self._clock.monotonic())
            dispatch = await self._rooms.create_dispatch(need.room)
            memory.dispatched_s[dispatch.id] = self._clock.monotonic()
            _log.info("dispatch %s made, attempt %d", dispatch.id, memory.attempts)
        except (Unavailable, RoomGone) as error:
            _log.warning("a room was not dispatched (attempt %d): %s", memory.attempts, error)

    async def _delete(self, room: str, dispatch_id: str) -> None:
        try:
            await self._rooms.delete_dispatch(room, dispatch_id)
        except RoomGone:
            _log.debug("dispatch %s is gone already", dispatch_id)

    async def _remove_observer(self, room: str) -> None:
        try:
            await self._rooms.remove_observer(room)
        except RoomGone:
            _log.debug("the observer that was to be removed is gone already")


def _refusal(group: BaseExceptionGroup[CredentialsRefused]) -> CredentialsRefused:
    return next(each for each in leaves(group) if isinstance(each, CredentialsRefused))
