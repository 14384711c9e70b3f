"""Which of several watchers acts."""

from enum import Enum, auto

from sidecar.clock import Clock
from sidecar.dispatch.lease import WATCHER_KEY, LeaseStore
from sidecar.errors import Unavailable


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
        self._away_s = clock.monotonic()  # at the start, too, leases may be about to come back

    async def role(self) -> Role:
        """Claim or renew the lead, and say who acts now."""
        try:
            holder = await self._leases.claim(WATCHER_KEY, self._watcher_id, self._ttl_s)
        except Unavailable:
            self.lost_redis()
            return Role.LEADER if self._led else Role.STANDBY
        self._led = holder == self._watcher_id
        return Role.LEADER if self._led else Role.FOLLOWER

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
        except Unavailable:
            self.lost_redis()
