"""Leases in Redis: which worker observes a room, and which watcher leads.

A lease tells that somebody is alive. It excludes nobody: exclusion is LiveKit's, by the observer's identity.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Final, Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from sidecar.errors import CredentialsRefused, Unavailable
from sidecar.types import Options

WATCHER_KEY: Final = "engagement:watcher"

_ANSWER_WITHIN_S: Final = 2.0

# KEYS[1] lease; ARGV[1] holder, ARGV[2] milliseconds. A lease that ran out unseen (a pause, a restarted Redis) is
# taken up again; somebody else's is left alone. Returns who holds it now.
_CLAIM = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

# Only the holder deletes: a late release must not end its successor's lease.
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class LeaseOptions(Options, frozen=True):
    """How long a silent worker counts as alive."""

    ttl_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 6.0
    """A lease that is not renewed ends after this time, seconds."""
    renew_s: Annotated[float, msgspec.Meta(ge=0.1, le=20)] = 2.0
    """Interval of renewals, seconds; less than a third of `ttl_s` survives two lost ones."""


class LeaseStore(Protocol):
    """Named leases that end by themselves. Each call raises `Unavailable` while the store is away."""

    async def claim(self, key: str, holder: str, ttl_s: float) -> str:
        """Take or renew the lease unless another holds it; returns who holds it now. Atomic."""
        ...

    async def release(self, key: str, holder: str) -> None:
        """End the lease if `holder` holds it. Atomic."""
        ...

    async def holders(self, keys: Sequence[str]) -> list[str | None]:
        """Who holds each lease, in the order of `keys`."""
        ...


def room_key(room: str) -> str:
    """Key of the lease of a room: its raw name, as published in the interfaces."""
    return f"engagement:lease:{room}"


class RedisLeases:
    """`LeaseStore` on Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._claim = redis.register_script(_CLAIM)
        self._release = redis.register_script(_RELEASE)

    async def claim(self, key: str, holder: str, ttl_s: float) -> str:
        async with redis_errors():
            return _text(await self._claim(keys=[key], args=[holder, round(ttl_s * 1000)]))

    async def release(self, key: str, holder: str) -> None:
        async with redis_errors():
            await self._release(keys=[key], args=[holder])

    async def holders(self, keys: Sequence[str]) -> list[str | None]:
        if not keys:
            return []
        async with redis_errors():
            return [None if value is None else _text(value) for value in await self._redis.mget(keys)]


@asynccontextmanager
async def redis_errors() -> AsyncIterator[None]:
    """Translate what the Redis client raises into `CredentialsRefused` or `Unavailable`; wait 2 s for it at most.

    The client sends through `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes together
    with the result (CPython issue 86296); it is raised here after all, or a cancelled task would go on for ever.
    """
    task = asyncio.current_task()
    cancelled = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):  # the client's own retries may take longer than a lease lives
            yield
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        raise CredentialsRefused(f"Redis refused the credentials: {error}") from error
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Redis cannot be reached: {error or type(error).__name__}") from error
    finally:
        if task and task.cancelling() > cancelled:
            raise asyncio.CancelledError


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
