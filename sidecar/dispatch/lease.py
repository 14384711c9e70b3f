"""Leases in Redis: which worker observes a room, and which watcher leads.

A lease tells that somebody is alive. It excludes nobody: exclusion is LiveKit's, by the observer's identity.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final, Protocol

import msgspec
from redis.exceptions import ResponseError

from sidecar.errors import Unavailable
from sidecar.redis.connect import AnyRedis
from sidecar.redis.exchange import Exchange
from sidecar.redis.refusals import error_code, translated
from sidecar.types import Options

WATCHER_KEY: Final = "engagement:watcher"

_ANSWER_WITHIN_S: Final = 2.0
"""A lease lives for 6 s: an answer that takes longer is of no use."""

# KEYS[1] lease; ARGV[1] holder, ARGV[2] milliseconds. A lease that ran out unseen (a pause, a restarted Redis) is
# taken up again; somebody else's is left alone. A key of another type is no lease and is replaced. Returns who holds
# it now.
_CLAIM = """
local holder = redis.pcall('GET', KEYS[1])
if type(holder) == 'string' and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

# Only the holder deletes: a late release must not end its successor's lease.
_RELEASE = """
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
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
    """`LeaseStore` on Redis, on a cluster as well: each command has one key. Raises `CredentialsRefused`, too."""

    def __init__(self, redis: AnyRedis) -> None:
        self._exchange = Exchange(redis, _ANSWER_WITHIN_S)

    async def claim(self, key: str, holder: str, ttl_s: float) -> str:
        answer = await self._run(_CLAIM, key, holder, round(ttl_s * 1000))
        if not isinstance(answer, bytes):
            raise Unavailable("Redis cannot be used at present: it answered a claim with something else")
        return _text(answer)

    async def release(self, key: str, holder: str) -> None:
        await self._run(_RELEASE, key, holder)

    async def holders(self, keys: Sequence[str]) -> list[str | None]:
        groups = await self._exchange.by_server(list(dict.fromkeys(keys)))
        found = await asyncio.gather(*(self._holders(group) for group in groups))
        by_key = {key: holder for holders in found for key, holder in holders.items()}
        return [by_key[key] for key in keys]

    async def _holders(self, keys: Sequence[str]) -> dict[str, str | None]:
        answers = await self._exchange.ask(keys[0], [("GET", key) for key in keys])
        return {key: _holder(answer) for key, answer in zip(keys, answers, strict=True)}

    async def _run(self, script: str, key: str, *arguments: str | int) -> Any:
        # The whole script each time: it is short, and a server that replaces another need not know it.
        [answer] = await self._exchange.ask(key, [("EVAL", script, 1, key, *arguments)])
        if isinstance(answer, ResponseError):
            raise translated(answer)
        return answer


def _holder(answer: object) -> str | None:
    """None also for a key of another type, which is no lease. Raises `Unavailable` or `CredentialsRefused`."""
    if isinstance(answer, ResponseError) and error_code(answer) != "WRONGTYPE":
        raise translated(answer)
    return _text(answer) if isinstance(answer, bytes) else None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
