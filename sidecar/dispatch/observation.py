"""One observed room: the work itself, and the lease that shows it is alive."""

import asyncio
import logging
from typing import Final, Protocol

from sidecar.clock import Clock
from sidecar.dispatch.agent_protocol import Assignment
from sidecar.dispatch.lease import LeaseOptions, LeaseStore, room_key
from sidecar.errors import SidecarError

_log = logging.getLogger(__name__)


LEASE_LOST: Final = "lease_lost"
"""Message of the cancellation that ends an observation because another worker holds the lease."""


class RoomObserver(Protocol):
    """What a worker does with a room it was given."""

    async def observe(self, assignment: Assignment) -> None:
        """Join the room and stay until the call ends.

        Cancelled when the room is taken away or the worker drains: leave cleanly, then let the cancellation go on.
        """
        ...


class LeasedObserver:
    """A `RoomObserver` that holds the room's lease as long as another observes."""

    def __init__(
        self, observer: RoomObserver, leases: LeaseStore, worker_id: str, options: LeaseOptions, clock: Clock
    ) -> None:
        self._observer = observer
        self._leases = leases
        self._worker_id = worker_id
        self._options = options
        self._clock = clock

    async def observe(self, assignment: Assignment) -> None:
        """Observe until the call ends or another worker holds the lease."""
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keep(assignment.room))
                observing = group.create_task(self._observer.observe(assignment))
                await asyncio.wait((keeping, observing), return_when=asyncio.FIRST_COMPLETED)
                observing.cancel(LEASE_LOST)
                keeping.cancel()
        finally:
            await self._release(assignment.room)

    async def _keep(self, room: str) -> None:
        """Renew the lease until another holds it.

        Redis that is away or refuses (a changed ACL, a full memory) is no reason to leave a room: the lease only shows
        that this worker is alive.
        """
        away = False
        while True:
            try:
                holder = await self._leases.claim(room_key(room), self._worker_id, self._options.ttl_s)
            except SidecarError as error:
                # Logged once, not at each try.
                _log.log(logging.DEBUG if away else logging.WARNING, "lease of a room not renewed: %s", error)
                away = True
            else:
                away = False
                if holder != self._worker_id:
                    _log.warning("leaving a room: worker %s observes it", holder)
                    return
            await self._clock.sleep(self._options.renew_s)

    async def _release(self, room: str) -> None:
        try:
            await self._leases.release(room_key(room), self._worker_id)
        except SidecarError as error:
            _log.warning("lease of a room not released, it ends by itself: %s", error)
