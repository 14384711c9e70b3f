"""Rooms, leases and watchers on virtual time."""

import asyncio

from sidecar.dispatch.leadership import Leadership
from sidecar.dispatch.lease import room_key
from sidecar.dispatch.rooms import Dispatch
from sidecar.dispatch.watcher import Watcher, WatcherOptions
from tests.dispatch.fakes import MemoryLeases, MemoryRooms
from tests.fakes.clock import VirtualClock

OPTIONS = WatcherOptions()
LEASE_S = 6.0


class World:
    """Rooms, leases and any number of watchers."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.leases = MemoryLeases(self.clock)
        self.rooms = MemoryRooms(self.clock)
        self.runs: dict[str, asyncio.Task[None]] = {}
        self.watchers: dict[str, Watcher] = {}

    def start(self, name: str = "watcher-a") -> Watcher:
        leadership = Leadership(self.leases, name, ttl_s=OPTIONS.leader_ttl_s, lease_ttl_s=LEASE_S, clock=self.clock)
        watcher = Watcher(self.rooms, self.leases, leadership, OPTIONS, self.clock)
        self.watchers[name] = watcher
        self.runs[name] = asyncio.create_task(watcher.run())
        return watcher

    async def stop(self, name: str) -> None:
        run = self.runs.pop(name)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    def kill(self, name: str) -> None:
        """Stop a watcher that has no time to resign."""
        self.watchers[name].round = self._never  # type: ignore[method-assign]

    async def _never(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def attend(self, room: str, worker: str = "worker-a") -> None:
        """What a worker does with a dispatch."""
        self.rooms.known[room].observer = True
        await self.leases.claim(room_key(room), worker, LEASE_S)

    async def pass_time(self, seconds: float, *attended: str) -> None:
        """Let time pass while the workers of some rooms renew their leases."""
        for _ in range(round(seconds * 2)):
            if not self.leases.away:
                for room in attended:
                    await self.attend(room)
            await self.clock.advance(0.5)

    def dispatch_of(self, room: str, age_s: float) -> None:
        self.rooms.known[room].dispatches.append(Dispatch("AD_old", self.clock.wall() - age_s))
