"""Which of several watchers acts."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

from sidecar.clock import Clock
from sidecar.dispatch.lease import WATCHER_KEY, LeaseStore
from sidecar.errors import CredentialsRefused, Unavailable

_log = logging.getLogger(__name__)


class Role(Enum):
    """A watcher's part."""

    LEADER = auto()
    FOLLOWER = auto()
    """Another leads."""
    STANDBY = auto()
    """Redis is away and another led: it goes on, unless it died too."""


class Leadership:
    """One watcher's claim to lead, and whether a missing lease means anything at present."""

    def __init__(self, leases: LeaseStore, watcher_id: str, *, ttl_s: float, lease_ttl_s: float, clock: Clock) -> None:
        self._leases = leases
        self._watcher_id = watcher_id
        self._ttl_s = ttl_s
        self._lease_ttl_s = lease_ttl_s
        self._clock = clock
        self._led = False
        self._accepted = False
        self._refused = False
        self._away_s = clock.monotonic()  # at the start, too, leases may be about to come back

    async def role(self) -> Role:
        """Claim or renew the lead, and say who acts now.

        Raises `CredentialsRefused` if Redis never accepted the credentials. Once it has, a refusal (a changed ACL, a
        replica with other users) counts as Redis being away: presence decides, and no room is lost over it.
        """
        try:
            holder = await self._leases.claim(WATCHER_KEY, self._watcher_id, self._ttl_s)
        except Unavailable:
            self.lost_redis()
            return self._role_without_redis()
        except CredentialsRefused as error:
            if not self._accepted:
                raise
            _log.log(logging.DEBUG if self._refused else logging.WARNING, "watching without leases: %s", error)
            self._refused = True
            self.lost_redis()
            return self._role_without_redis()
        self._accepted, self._refused = True, False
        self._led = holder == self._watcher_id
        return Role.LEADER if self._led else Role.FOLLOWER

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Go on renewing the lead meanwhile: a round at a slow server may take longer than the lead lasts.

        Without it two watchers would take the lead from each other in the middle of each round, and neither would act.
        """
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew())
            try:
                yield
            finally:
                renewing.cancel()

    def lost_redis(self) -> None:
        """Note that Redis did not answer."""
        self._away_s = self._clock.monotonic()

    @property
    def leases_trusted(self) -> bool:
        """True once Redis has answered for as long as a lease lives: every living worker has renewed by then."""
        return self._clock.monotonic() - self._away_s >= self._lease_ttl_s

    async def resign(self) -> None:
        """Let another lead at once."""
        self._led = False
        try:
            await self._leases.release(WATCHER_KEY, self._watcher_id)
        except (Unavailable, CredentialsRefused):  # the lead ends by itself
            self.lost_redis()

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._ttl_s / 3)
            if self._led:
                await self.role()

    def _role_without_redis(self) -> Role:
        return Role.LEADER if self._led else Role.STANDBY
