"""Reads a room's events back from Redis, as any subscriber may."""

import logging
from collections.abc import AsyncGenerator
from typing import Any, Final, Literal

from redis import exceptions as redis_errors
from redis.asyncio import Redis

from sidecar.clock import Clock
from sidecar.errors import ConfigurationError
from sidecar.publish.redis import stream_key

log = logging.getLogger(__name__)

_BLOCK_MS: Final = 1000
_RETRY_S: Final = 1.0


async def follow(redis: Redis, room: str, start: Literal["start", "now"], clock: Clock) -> AsyncGenerator[bytes, None]:
    """Each event as published, without end; goes on where it stopped when Redis comes back.

    Raises `ConfigurationError` where the room's key holds something else than a stream.
    """
    position: Any = "0" if start == "start" else None
    while True:
        try:
            if position is None:
                position = await _newest(redis, room)
            answer: Any = await redis.xread({stream_key(room): position}, count=100, block=_BLOCK_MS)
        except redis_errors.ResponseError as error:
            raise ConfigurationError(f"cannot read {stream_key(room)}: {error}") from error
        except (redis_errors.RedisError, OSError) as error:
            log.warning("redis is away, trying again: %s", error)
            await clock.sleep(_RETRY_S)
            continue
        for _, entries in answer:
            for entry, fields in entries:
                position = entry
                yield fields[b"event"]


async def _newest(redis: Redis, room: str) -> Any:
    entries: Any = await redis.xrevrange(stream_key(room), count=1)
    return entries[0][0] if entries else "0"
