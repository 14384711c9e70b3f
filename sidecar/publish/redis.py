"""Delivers events to Redis: a capped stream and a channel for each room, and a spool while Redis is away."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, ParamSpec, Self, TypeVar

import msgspec
from redis.exceptions import RedisClusterException, RedisError

from sidecar.channel import Channel, ChannelClosed, Overflow
from sidecar.clock import Clock
from sidecar.errors import SidecarError
from sidecar.publish.delivery import Delivery, channel_key, stream_key
from sidecar.publish.publisher import Envelope
from sidecar.publish.spool import Spool
from sidecar.redis.connect import AnyRedis, connect
from sidecar.redis.exchange import check_credentials
from sidecar.supervisor import Supervised, Supervisor
from sidecar.telemetry import Telemetry
from sidecar.types import Options

__all__ = ["PublishOptions", "RedisSink", "channel_key", "check_credentials", "connect", "stream_key"]

log = logging.getLogger(__name__)

_BATCH: Final = 128
_PENDING: Final = 10_000
_PROBE_S: Final = 2.0
_CLOSE_WITHIN_S: Final = 8.0
_DISCONNECT_WITHIN_S: Final = 2.0
_MOST_REASONS: Final = 5

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class PublishOptions(Options, frozen=True):
    """How events are kept in Redis and on disk."""

    stream_max_events: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    stream_ttl_s: Annotated[int, msgspec.Meta(ge=60)] = 24 * 3600
    spool_max_bytes: Annotated[int, msgspec.Meta(ge=1 << 20)] = 64 << 20
    retry_s: Annotated[float, msgspec.Meta(gt=0)] = 0.5


class RedisSink:
    """An `EventSink` that owns its client; `async with` it.

    Events of a room arrive in order, at least once, stream before channel.

    Two supervised tasks. `_intake` takes events from the queue in memory, straight to Redis or, while that fails, to
    the spool; `_drain` empties the spool. As long as the spool holds anything, newer events queue behind it, so the
    two never send at the same time. Events stay in `_held`, or in the spool, until they are delivered, kept or counted
    as lost: a task that dies in between starts again with them. Where neither Redis nor the disk takes events, they
    wait in memory, and the queue drops its oldest.
    """

    def __init__(
        self,
        redis: AnyRedis,
        spool_folder: Path,
        options: PublishOptions,
        *,
        clock: Clock,
        telemetry: Telemetry,
        supervisor: Supervisor,
    ) -> None:
        """Raises `ConfigurationError` where the spool's folder cannot be used."""
        self._redis = redis
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._supervisor = supervisor
        self._delivery = Delivery(
            redis,
            stream_max_events=options.stream_max_events,
            stream_ttl_s=options.stream_ttl_s,
            telemetry=telemetry,
        )
        self._spool = Spool(spool_folder, options.spool_max_bytes)
        self._spool_lock = asyncio.Lock()
        self._spool_filled = asyncio.Event()
        self.disk_failing = False
        """Whether the disk refused the newest events for the spool, so that they wait in memory."""
        self._asked_s = clock.monotonic()
        self._pending: Channel[Envelope] = Channel(_PENDING, Overflow.DROP_OLDEST, lambda event: self._lose([event]))
        self._held: list[Envelope] = []
        self._unreported: deque[Envelope] = deque(maxlen=2 * _PENDING)
        self._reasons: set[str] = set()
        """Logged since Redis was last reachable."""
        self._closing = asyncio.Event()
        self._gave_up = False
        """Closing, and the last attempt to deliver failed."""
        self._tasks: list[Supervised] = []
        self._probing: Supervised | None = None
        self.connected = False
        """Whether the newest attempt to reach Redis succeeded."""
        self.on_lost: Callable[[Envelope], None] | None = None
        """Called from a task of the sink, once for each event that can be neither delivered nor kept, when the queue
        has room for an event about it."""

    async def __aenter__(self) -> Self:
        try:
            self.connected = await check_credentials(self._redis)
        except BaseException:
            await self._disconnect()
            raise
        if not self._spool.empty:
            log.info("spool: %d bytes from an earlier run wait for Redis", self._spool.size_bytes)
            self._telemetry.spool_bytes.set(self._spool.size_bytes)
        self._tasks = [
            self._supervisor.start("event_intake", self._intake),
            self._supervisor.start("event_spool", self._drain),
        ]
        self._probing = self._supervisor.start("event_probe", self._probe)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def put(self, envelope: Envelope) -> None:
        try:
            self._pending.put(envelope)
        except ChannelClosed:
            self._lose([envelope])

    async def aclose(self) -> None:
        """Deliver or spool what is pending, then end; the spool waits on disk for the next run. Idempotent.

        A delivery under way is waited for, a few seconds at most. What neither Redis nor the disk takes is lost.
        """
        self._pending.close()
        self._closing.set()
        self._spool_filled.set()
        if self._probing is not None:
            self._probing.stop()
        tasks, self._tasks = self._tasks, []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                for task in tasks:
                    await task.ended()
        for task in tasks:
            task.stop()
            await task.ended()
        while self._held or self._pending:  # a task was waiting to be started again
            self._hold()
            await self._pass_on()
        await self._on_spool(self._spool.close)
        self._report_losses()
        await self._disconnect()

    async def _intake(self) -> None:
        while True:
            if not self._held:
                self._report_losses()
                await self._pending.wait()
                self._hold()
            if not self._held:
                return  # closed and empty
            await self._pass_on()

    def _hold(self) -> None:
        """Move a batch out of the queue, unless one is held already."""
        while len(self._held) < _BATCH and (event := self._pending.take()) is not None:
            self._held.append(event)

    async def _pass_on(self) -> None:
        """Deliver or spool what is held, or try again after a pause."""
        if self._spool.empty and not self._gave_up:
            self._held = await self._send(self._held)
        if self._held and await self._keep(self._held):
            self._held = []
        if self._held and self._closing.is_set():
            lost, self._held = self._held, []
            self._lose(lost)
        elif self._held:
            self._report_losses()
            await self._pause()

    async def _keep(self, batch: Sequence[Envelope]) -> bool:
        """Write a batch to the spool; False where the disk refuses."""
        try:
            await self._on_spool(self._spool.append, batch)
        except OSError as error:
            self._note_disk(error)
            return False
        self._note_disk(None)
        self._telemetry.spooled.inc(len(batch))
        self._spool_filled.set()
        return True

    async def _drain(self) -> None:
        while not self._closing.is_set():
            if self._spool.empty:
                self._spool_filled.clear()
                await self._spool_filled.wait()
                continue
            try:
                batch = await self._on_spool(self._spool.take, _BATCH)
            except OSError as error:
                self._note_disk(error)
                await self._pause()
                continue
            waiting = await self._send(batch) if batch else []
            await self._on_spool(self._spool.settle, waiting)
            self._report_losses()
            if waiting:
                await self._pause()

    async def _probe(self) -> None:
        """Keep `connected` true to the facts while there are no events to send."""
        while True:
            await self._clock.sleep(_PROBE_S)
            idle = self._spool.empty and not self._held and self._clock.monotonic() - self._asked_s >= _PROBE_S
            if idle:
                self._note_redis(await self._delivery.probe())

    async def _on_spool(
        self, act: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """Run one call to the spool in a thread, then count what it lost, also where it raises."""
        async with self._spool_lock:
            try:
                return await asyncio.to_thread(act, *arguments, **named)
            finally:
                losses = self._spool.losses()
                self._telemetry.spool_bytes.set(self._spool.size_bytes)
                self._telemetry.dropped.labels("spool", "damaged_segment").inc(losses.damaged_segments)
                self._telemetry.dropped.labels("spool", "damaged_line").inc(losses.damaged_lines)
                self._telemetry.lost.inc(losses.unread)
                self._lose(losses.envelopes)

    async def _send(self, batch: Sequence[Envelope]) -> list[Envelope]:
        """Deliver a batch; those of its events that may not be on Redis, in their order."""
        self._asked_s = self._clock.monotonic()
        if not self.connected:
            # A server that begins to accept a password-less client in mid-batch refuses MULTI and takes the commands
            # that follow one by one: the first events of the batch would come last.
            error = await self._delivery.probe()
            if error is not None:
                self._note_redis(error)
                self._gave_up = self._closing.is_set()
                return list(batch)
        outcome = await self._delivery.deliver(batch)
        for event in outcome.delivered:
            self._telemetry.published.labels(event.type).inc()
        self._lose(outcome.lost)
        self._note_redis(outcome.error)
        self._gave_up = self._closing.is_set() and outcome.error is not None
        return outcome.waiting

    def _lose(self, events: Sequence[Envelope]) -> None:
        self._telemetry.lost.inc(len(events))
        self._unreported.extend(events)

    def _report_losses(self) -> None:
        """Only while the queue has room: an event about a loss must not push out another one."""
        for _ in range(len(self._unreported)):
            if len(self._pending) >= _PENDING:
                return
            event = self._unreported.popleft()
            if self.on_lost is not None:
                self.on_lost(event)

    def _note_redis(self, error: SidecarError | None) -> None:
        """Log each change of state and each reason for it once."""
        if error is None:
            if not self.connected:
                log.info("redis: reachable")
            self._reasons.clear()
        elif str(error) not in self._reasons and len(self._reasons) < _MOST_REASONS:
            self._reasons.add(str(error))
            log.warning("redis: events wait in the spool: %s", error)
        self.connected = error is None

    def _note_disk(self, error: OSError | None) -> None:
        if error is not None and not self.disk_failing:
            log.error("spool: the disk refuses, events wait in memory: %s", error.strerror or type(error).__name__)
        elif error is None and self.disk_failing:
            log.info("spool: the disk works again")
        self.disk_failing = error is not None

    async def _pause(self) -> None:
        """Wait for the next try, or for the end."""
        waits = [asyncio.ensure_future(self._clock.sleep(self._options.retry_s))]
        waits.append(asyncio.ensure_future(self._closing.wait()))  # type: ignore[arg-type]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _disconnect(self) -> None:
        with contextlib.suppress(RedisError, RedisClusterException, OSError, TimeoutError):
            async with asyncio.timeout(_DISCONNECT_WITHIN_S):
                await self._redis.aclose()
