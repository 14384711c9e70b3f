"""Delivers events to Redis: a capped stream and a channel for each room, and a spool while Redis is away."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

import msgspec
from redis import exceptions as redis_errors
from redis.asyncio import Redis

from sidecar.clock import Clock
from sidecar.errors import CredentialsRefused, Unavailable
from sidecar.publish.publisher import Envelope
from sidecar.publish.spool import Spool
from sidecar.telemetry import Telemetry
from sidecar.types import Options

log = logging.getLogger(__name__)

_BATCH: Final = 64
_PENDING: Final = 10_000
_ROOMS_KEY: Final = "engagement:rooms"


class PublishOptions(Options, frozen=True):
    """How events are kept in Redis and on disk."""

    stream_max_events: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    stream_ttl_s: Annotated[int, msgspec.Meta(ge=60)] = 24 * 3600
    spool_max_bytes: Annotated[int, msgspec.Meta(ge=1 << 20)] = 64 << 20
    retry_s: Annotated[float, msgspec.Meta(gt=0)] = 0.5


def channel_key(room: str) -> str:
    """The pub/sub channel of a room."""
    return f"engagement:{room}:events"


def stream_key(room: str) -> str:
    """The capped stream of a room."""
    return f"engagement:{room}:log"


def connect(url: str) -> Redis:
    """A client that gives up after 2 s instead of hanging, and leaves retrying to its caller."""
    return Redis.from_url(url, socket_connect_timeout=2.0, socket_timeout=2.0, retry=None)


async def check_credentials(redis: Redis) -> bool:
    """True when Redis answers, False while it is away; raises `CredentialsRefused` when it says no."""
    try:
        await redis.ping()
    except (redis_errors.AuthenticationError, redis_errors.AuthorizationError) as error:
        raise CredentialsRefused(f"Redis refused the credentials in REDIS_URL: {error}") from error
    except redis_errors.ResponseError as error:
        if str(error).startswith(("WRONGPASS", "NOPERM", "NOAUTH")):
            raise CredentialsRefused(f"Redis refused the credentials in REDIS_URL: {error}") from error
        return False
    except (redis_errors.RedisError, OSError):
        return False
    return True


class RedisSink:
    """An `EventSink` that owns its client; `async with` it.

    Events of a room arrive in order, at least once, stream before channel.

    Two tasks: `_intake` empties the queue, straight to Redis or, while Redis is away, to the spool; `_drain`
    empties the spool once Redis is back. As long as the spool holds anything, newer events queue behind it.
    """

    def __init__(
        self,
        redis: Redis,
        spool_folder: Path,
        options: PublishOptions,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._redis = redis
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._spool = Spool(spool_folder, options.spool_max_bytes)
        self._spool_lock = asyncio.Lock()
        self._pending: deque[Envelope] = deque()
        self._wake_intake = asyncio.Event()
        self._wake_drain = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self.connected = False
        """Whether the newest attempt to reach Redis succeeded."""
        self.on_lost: Callable[[Envelope], None] | None = None
        """Told of each event that can be neither delivered nor kept."""

    async def __aenter__(self) -> Self:
        self.connected = await check_credentials(self._redis)
        if not self._spool.empty:
            log.info("spool: %d bytes from an earlier run wait for Redis", self._spool.size_bytes)
            self._wake_drain.set()
        self._tasks = [asyncio.create_task(self._intake()), asyncio.create_task(self._drain())]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def put(self, envelope: Envelope) -> None:
        if len(self._pending) >= _PENDING:
            self._lose([self._pending.popleft()])
        self._pending.append(envelope)
        self._wake_intake.set()

    async def aclose(self) -> None:
        """Deliver or spool what is pending, then end; the spool waits on disk for the next run. Idempotent.

        A delivery under way is waited for, a few seconds at most: cut off, it would leave its socket behind.
        """
        self._closing = True
        self._wake_intake.set()
        self._wake_drain.set()
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)
        await self._redis.aclose()

    async def _intake(self) -> None:
        while self._pending or not self._closing:
            await self._wake_intake.wait()
            self._wake_intake.clear()
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(_BATCH, len(self._pending)))]
                if not self._spool.empty or not await self._try_deliver(batch):
                    await self._keep(batch)
            if self._closing:
                return

    async def _drain(self) -> None:
        while True:
            await self._wake_drain.wait()
            if self._closing:
                return
            batch = self._spool.peek(_BATCH)
            if not batch:
                self._wake_drain.clear()
            elif await self._try_deliver(batch):
                async with self._spool_lock:
                    await asyncio.to_thread(self._spool.advance, len(batch))
                self._telemetry.spool_bytes.set(self._spool.size_bytes)
            else:
                await self._clock.sleep(self._options.retry_s)

    async def _keep(self, batch: Sequence[Envelope]) -> None:
        try:
            async with self._spool_lock:
                dropped = await asyncio.to_thread(self._spool.append, batch)
        except OSError as error:
            log.error("spool: cannot write, events are lost: %s", error)
            self._lose(batch)
            return
        self._telemetry.spooled.inc(len(batch))
        self._telemetry.spool_bytes.set(self._spool.size_bytes)
        self._lose(dropped)
        self._wake_drain.set()

    def _lose(self, envelopes: Sequence[Envelope]) -> None:
        self._telemetry.lost.inc(len(envelopes))
        for envelope in envelopes:
            if self.on_lost is not None:
                self.on_lost(envelope)

    async def _try_deliver(self, batch: Sequence[Envelope]) -> bool:
        try:
            await self._deliver(batch)
        except Unavailable as error:
            if self.connected:
                log.warning("redis: away, events wait in the spool: %s", error)
            self.connected = False
            return False
        if not self.connected:
            log.info("redis: reachable")
        self.connected = True
        return True

    async def _deliver(self, batch: Sequence[Envelope]) -> None:
        """Raises `Unavailable` when any of the batch may be missing in Redis; the whole batch is then sent again."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            for envelope in batch:
                self._commands(pipeline, envelope)
            try:
                results = await pipeline.execute(raise_on_error=False)
            except (redis_errors.RedisError, OSError) as error:
                raise Unavailable(str(error)) from error
        refused = _refused_events(results, len(batch))
        for envelope, refusal in zip(batch, refused, strict=True):
            if refusal is None:
                self._telemetry.published.labels(envelope.type).inc()
            else:
                log.error("redis: a key of a room has another type, its event is lost: %s", refusal)
                self._lose([envelope])

    def _commands(self, pipeline: Any, envelope: Envelope) -> None:
        stream = stream_key(envelope.room)
        pipeline.xadd(stream, {"event": envelope.payload}, maxlen=self._options.stream_max_events, approximate=True)
        pipeline.expire(stream, self._options.stream_ttl_s)
        pipeline.publish(channel_key(envelope.room), envelope.payload)
        pipeline.zadd(_ROOMS_KEY, {envelope.room: envelope.wall_time_s})


_COMMANDS_PER_EVENT: Final = 4


def _refused_events(results: Sequence[object], count: int) -> list[Exception | None]:
    """Per event the error that will not pass by waiting (a key of another type), or None.

    Raises `Unavailable` for any other error: out of memory, loading, read-only replica.
    """
    refused: list[Exception | None] = [None] * count
    for index, result in enumerate(results):
        if not isinstance(result, Exception):
            continue
        if not str(result).startswith("WRONGTYPE"):
            raise Unavailable(str(result)) from result
        refused[index // _COMMANDS_PER_EVENT] = result
    return refused
