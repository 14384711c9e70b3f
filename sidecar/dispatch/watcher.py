"""Sees to it that every room with people in it has a dispatch that works.

Stateless but for what it has seen so far: any watcher can take over from any other at any time.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from sidecar.clock import Clock
from sidecar.dispatch.judgement import JudgementOptions, RoomView, Verdict, judge
from sidecar.dispatch.leadership import Leadership, Role
from sidecar.dispatch.lease import LeaseStore, room_key
from sidecar.dispatch.livekit_server import RoomGone
from sidecar.dispatch.rooms import Attendance, Dispatch, RoomService
from sidecar.errors import Unavailable
from sidecar.types import Options

_log = logging.getLogger(__name__)

_VIEWS_AT_ONCE: Final = 8
_NOBODY: Final = Attendance(people=False, observer=False)


class WatcherOptions(Options, frozen=True):
    """How closely rooms are watched."""

    period_s: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 1.0
    """Longest time between two rounds, seconds; a webhook brings the next one forward."""
    doubtful_period_s: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 0.4
    """The same while a worker may just have died."""
    leader_ttl_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 3.0
    """A leader that is silent for this long is replaced."""
    settled_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0
    """A room observed for this long has its attempts forgotten."""
    spacing_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.2
    """Wait after a dispatch, so that the next one is dealt by loads that know of it."""
    spacing_per_round_s: Annotated[float, msgspec.Meta(ge=0, le=30)] = 2.0
    """Longest sum of these waits in a round."""
    judgement: JudgementOptions = JudgementOptions()


@dataclass(slots=True)
class _Memory:
    """What this watcher remembers of a room, in monotonic seconds."""

    attempts: int = 0
    attempted_s: float = float("-inf")
    attended_since_s: float | None = None
    unattended_since_s: float | None = None
    dispatched_s: dict[str, float] = field(default_factory=dict)
    """When each dispatch was made or, by another watcher, how long ago it must have been."""


@dataclass(frozen=True, slots=True)
class _Need:
    """An unattended room and what is left in it."""

    room: str
    dispatches: Sequence[Dispatch]


class Watcher:
    """Reconciles rooms, leases and dispatches, as long as it leads."""

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
        self._memories: dict[str, _Memory] = {}
        self._woken: set[str] = set()
        self._wake = asyncio.Event()
        self._doubtful = False
        self._blind = False

    def wake(self, room: str) -> None:
        """Look at a room at once: something happened in it."""
        self._woken.add(room)
        self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled. Raises `CredentialsRefused`; an unreachable server is waited for."""
        try:
            while True:
                try:
                    await self.round()
                except Unavailable as error:
                    # Said once: a round is tried every second.
                    _log.log(logging.DEBUG if self._blind else logging.WARNING, "rooms not checked: %s", error)
                    self._blind = True
                else:
                    self._blind = False
                await self._pause()
        finally:
            await self._leadership.resign()

    async def round(self) -> None:
        """Look at the rooms that woke the watcher, or at all, and give each what it needs."""
        woken, self._woken = self._woken, set()
        self._wake.clear()
        self._doubtful = False
        role = await self._leadership.role()
        if role is Role.FOLLOWER:
            self._memories.clear()
            return
        rooms = sorted(woken) or await self._rooms.rooms()
        if not woken:
            self._memories = {room: self._memories.get(room, _Memory()) for room in rooms}
        needs = await self._needs(rooms, standby=role is Role.STANDBY)
        spacing_s = min(self._options.spacing_s, self._options.spacing_per_round_s / max(1, len(needs)))
        for need in needs:
            if await self._leadership.role() is Role.FOLLOWER:
                return
            await self._attach(need)
            await self._clock.sleep(spacing_s)

    async def _pause(self) -> None:
        period_s = self._options.doubtful_period_s if self._doubtful else self._options.period_s
        async with asyncio.TaskGroup() as group:
            waits = [
                group.create_task(self._wake.wait()),
                group.create_task(self._clock.sleep(period_s)),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _needs(self, rooms: Sequence[str], *, standby: bool) -> list[_Need]:
        holders = await self._holders(rooms)
        limit = asyncio.Semaphore(_VIEWS_AT_ONCE)

        async def look(room: str, holder: str | None) -> _Need | None:
            async with limit:
                return await self._look(room, leased=holder is not None, standby=standby)

        async with asyncio.TaskGroup() as group:
            looks = [group.create_task(look(*each)) for each in zip(rooms, holders, strict=True)]
        return [need for each in looks if (need := each.result()) is not None]

    async def _holders(self, rooms: Sequence[str]) -> list[str | None]:
        try:
            return await self._leases.holders([room_key(room) for room in rooms])
        except Unavailable:
            self._leadership.lost_redis()
            return [None] * len(rooms)

    async def _look(self, room: str, *, leased: bool, standby: bool) -> _Need | None:
        attendance, dispatches = _NOBODY, list[Dispatch]()
        if not leased:  # a live lease is enough: most rooms cost the server nothing
            try:
                attendance = await self._rooms.attendance(room)
                if attendance.people:  # about a room that is gone the server would be silent for seconds
                    dispatches = await self._rooms.dispatches(room)
            except (Unavailable, RoomGone) as error:
                _log.info("room %r not checked: %s", room, error)
                return None
        memory = self._memories.setdefault(room, _Memory())
        view = self._view(memory, attendance, dispatches, leased=leased, standby=standby)
        verdict = judge(view, self._options.judgement)
        self._remember(memory, verdict)
        self._doubtful |= verdict is Verdict.DOUBTFUL
        return _Need(room, dispatches) if verdict is Verdict.UNATTENDED else None

    def _view(
        self, memory: _Memory, attendance: Attendance, dispatches: Sequence[Dispatch], *, leased: bool, standby: bool
    ) -> RoomView:
        now_s = self._clock.monotonic()
        skewed_s = now_s - self._clock.wall()
        memory.dispatched_s = {
            each.id: memory.dispatched_s.get(each.id, min(now_s, each.created_wall_s + skewed_s)) for each in dispatches
        }
        newest_s = max(memory.dispatched_s.values(), default=None)
        since_s = memory.unattended_since_s
        return RoomView(
            people=attendance.people,
            observer=attendance.observer,
            leased=leased,
            leases_trusted=self._leadership.leases_trusted,
            standby=standby,
            youngest_dispatch_s=None if newest_s is None else now_s - newest_s,
            unattended_s=0.0 if since_s is None else now_s - since_s,
            attempts=memory.attempts,
            since_attempt_s=now_s - memory.attempted_s,
        )

    def _remember(self, memory: _Memory, verdict: Verdict) -> None:
        now_s = self._clock.monotonic()
        if verdict is Verdict.ATTENDED:
            memory.unattended_since_s = None
            if memory.attended_since_s is None:
                memory.attended_since_s = now_s
            if now_s - memory.attended_since_s >= self._options.settled_s:
                memory.attempts = 0
        else:
            memory.attended_since_s = None
            if memory.unattended_since_s is None:
                memory.unattended_since_s = now_s

    async def _attach(self, need: _Need) -> None:
        """Withdraw what does not work and make one new dispatch."""
        memory = self._memories[need.room]
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
            memory.attempts += 1
            memory.attempted_s = self._clock.monotonic()
            dispatch = await self._rooms.create_dispatch(need.room)
            memory.dispatched_s[dispatch.id] = self._clock.monotonic()
            _log.info("dispatched room %r, attempt %d", need.room, memory.attempts)
        except (Unavailable, RoomGone) as error:
            _log.warning("room %r not dispatched: %s", need.room, error)

    async def _delete(self, room: str, dispatch_id: str) -> None:
        try:
            await self._rooms.delete_dispatch(room, dispatch_id)
        except RoomGone:
            _log.debug("dispatch %s is gone already", dispatch_id)

    async def _remove_observer(self, room: str) -> None:
        try:
            await self._rooms.remove_observer(room)
        except RoomGone:
            _log.debug("the observer of room %r is gone already", room)
