"""What the composition roots share: the parts of one process, Redis and the models."""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sidecar.clock import Clock, SystemClock
from sidecar.config import Settings
from sidecar.engines import Engines
from sidecar.redis.connect import AnyRedis, connect
from sidecar.redis.exchange import check_credentials
from sidecar.supervisor import Supervisor
from sidecar.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Process:
    """What all parts of one process share."""

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    telemetry: Telemetry = field(default_factory=Telemetry)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}-{secrets.token_hex(3)}")
    """Unique among workers, also among those of one host."""
    supervisor: Supervisor = field(init=False)
    """Of the background tasks that serve the whole process; each component stops its own when it closes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "supervisor", Supervisor(self.clock, self.telemetry))


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[AnyRedis]:
    """A client; Redis may be away, but not refuse us. Raises `CredentialsRefused`."""
    async with connect(settings.redis_url) as redis:
        await check_credentials(redis)
        yield redis


def make_engines(process: Process, *, shed_stale: bool = True) -> Engines:
    return Engines(
        process.settings.models,
        process.settings.tree.engines,
        clock=process.clock,
        telemetry=process.telemetry,
        shed_stale=shed_stale,
    )
