"""One owner per model: units of all rooms queue here and go through it in batches, in its one thread."""

import asyncio
from asyncio import Future, TaskGroup
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Self

import msgspec

from sidecar.channel import Channel, Overflow
from sidecar.clock import Clock
from sidecar.errors import InferenceFailed, InvariantBroken, Overloaded, PermitRevoked
from sidecar.inference.collation import Arrays, Collation, Stacked
from sidecar.inference.encoder import Model
from sidecar.supervisor import Supervised, Supervisor
from sidecar.telemetry import Telemetry
from sidecar.types import Options, Permit


class BatcherOptions(Options, frozen=True):
    """Limits of one model's queue."""

    max_batch: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4
    max_wait_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0
    """Deliberate wait for a batch to fill. 0 batches just what queued while the last call ran, which is right for
    CPUs; a GPU gains by a few milliseconds."""
    max_queue: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 64


@dataclass(slots=True, eq=False)
class _Waiting:
    """One unit in the queue."""

    inputs: Arrays
    permit: Permit
    submitted_s: float
    deadline_s: float | None
    future: Future[Arrays]


class Batcher:
    """Shares one model among all rooms.

    A full queue sheds its oldest unit, since live media is worth less the older it is; a unit whose deadline
    has passed is shed before it costs a call. Both are counted. A revoked permit ends its unit at entry or exit
    of the batch and leaves the others alone.
    """

    def __init__(
        self,
        model: Model,
        name: str,
        options: BatcherOptions,
        clock: Clock,
        telemetry: Telemetry,
        *,
        collation: Collation | None = None,
    ) -> None:
        self._model = model
        self._name = name
        self._options = options
        self._clock = clock
        self._dropped = telemetry.dropped
        self._queue_delay = telemetry.queue_delay.labels(name)
        self._batch_size = telemetry.batch_size.labels(name)
        self._inference = telemetry.inference.labels(name)
        self._collation = collation or Stacked()
        self._queue: Channel[_Waiting] = Channel(
            options.max_queue, Overflow.DROP_OLDEST, lambda unit: self._shed(unit, "overload")
        )
        self._full = asyncio.Event()
        self._last_delay_s = 0.0
        self._last_start_s = 0.0
        self._supervisor = Supervisor(clock, telemetry)
        self._serving: Supervised | None = None
        self._thread: ThreadPoolExecutor | None = None

    @property
    def queue_delay_s(self) -> float:
        """How long a unit waits for the model at present: the oldest one's wait, or the last batch's if recent."""
        now_s = self._clock.monotonic()
        oldest = self._queue.peek()
        waiting_s = 0.0 if oldest is None else now_s - oldest.submitted_s
        recent_s = self._last_delay_s if now_s - self._last_start_s < 2.0 else 0.0
        return max(waiting_s, recent_s)

    @property
    def failing(self) -> Mapping[str, str]:
        """Error type by task name, where the batcher's task failed within the last minute."""
        return self._supervisor.failing

    async def __aenter__(self) -> Self:
        thread = self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"model-{self._name}")
        self._serving = self._supervisor.start(f"batcher-{self._name}", lambda: self._serve(thread))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.aclose()
            self._queue.close()
            await self._supervisor.aclose()
        finally:
            while (unit := self._queue.take()) is not None:
                self._fail(unit)
            if self._thread is not None:
                self._thread.shutdown(wait=True)  # at most one call long

    async def aclose(self) -> None:
        """Take nothing more and return once what is queued has been served. Idempotent."""
        self._queue.close()
        self._full.set()
        if self._serving is not None:
            await self._serving.ended()

    async def infer(self, inputs: Arrays, permit: Permit, deadline_s: float | None = None) -> Arrays:
        """The model's outputs for one unit, both by name and without batch axis.

        `deadline_s` is the monotonic time after which the result is of no use. Raises `Overloaded` when shed,
        `PermitRevoked`, `InferenceFailed`, and `InvariantBroken` once closed.
        """
        permit.check()
        if self._queue.closed or self._thread is None:
            raise InvariantBroken(f"batcher {self._name!r} is not open")
        future: Future[Arrays] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(inputs, permit, self._clock.monotonic(), deadline_s, future)
        self._queue.put(waiting)
        if len(self._queue) >= self._options.max_batch:
            self._full.set()
        try:
            return await future
        except asyncio.CancelledError:
            self._queue.remove(waiting)
            raise

    async def _serve(self, thread: ThreadPoolExecutor) -> None:
        while True:
            await self._queue.wait()
            if not self._queue:
                return  # closed
            if self._options.max_wait_ms:
                await self._wait_for_more()
            await self._run(self._take(), thread)

    async def _wait_for_more(self) -> None:
        """Until the batch is full or the oldest unit has waited long enough."""
        oldest = self._queue.peek()
        waited_s = 0.0 if oldest is None else self._clock.monotonic() - oldest.submitted_s
        left_s = self._options.max_wait_ms / 1000 - waited_s
        if self._queue.closed or left_s <= 0 or len(self._queue) >= self._options.max_batch:
            return
        self._full.clear()
        async with TaskGroup() as race:
            full = race.create_task(self._full.wait())
            timer = race.create_task(self._clock.sleep(left_s))
            full.add_done_callback(lambda _: timer.cancel())
            timer.add_done_callback(lambda _: full.cancel())

    def _take(self) -> list[_Waiting]:
        """The next batch: the oldest units that still count."""
        now_s = self._clock.monotonic()
        batch: list[_Waiting] = []
        while len(batch) < self._options.max_batch and (unit := self._queue.take()) is not None:
            if unit.future.done():
                continue
            if not unit.permit.live:
                self._refuse(unit)
            elif unit.deadline_s is not None and unit.deadline_s < now_s:
                self._shed(unit, "stale")
            else:
                batch.append(unit)
        return batch

    async def _run(self, batch: list[_Waiting], thread: ThreadPoolExecutor) -> None:
        if not batch:
            return
        start_s = self._clock.monotonic()
        self._last_start_s, self._last_delay_s = start_s, start_s - batch[0].submitted_s
        for unit in batch:
            self._queue_delay.observe(start_s - unit.submitted_s)
        self._batch_size.observe(len(batch))
        call = asyncio.get_running_loop().run_in_executor(thread, self._call, [unit.inputs for unit in batch])
        try:
            await asyncio.wait([call])  # whatever it raises belongs to those who asked, not to this loop
            self._inference.observe(self._clock.monotonic() - start_s)
            self._deliver(batch, call)
        finally:
            for unit in batch:  # none may wait for ever where this task fails or is cancelled in mid-call
                self._fail(unit)

    def _deliver(self, batch: list[_Waiting], call: Future[list[Arrays]]) -> None:
        error = call.exception()
        for index, unit in enumerate(batch):
            if unit.future.done():
                continue
            if not unit.permit.live:
                self._refuse(unit)
            elif error is not None:
                unit.future.set_exception(error)
            else:
                unit.future.set_result(call.result()[index])

    def _call(self, rows: list[Arrays]) -> list[Arrays]:
        """In the model's thread."""
        outputs = self._model.run(self._collation.collate(rows))
        return list(self._collation.split(outputs, len(rows)))

    def _shed(self, unit: _Waiting, reason: str) -> None:
        if not unit.future.done():
            self._dropped.labels(self._name, reason).inc()
            unit.future.set_exception(Overloaded(f"{self._name}: shed, {reason}"))

    def _fail(self, unit: _Waiting) -> None:
        if not unit.future.done():
            unit.future.set_exception(InferenceFailed(f"{self._name}: the batcher stopped"))

    def _refuse(self, unit: _Waiting) -> None:
        self._dropped.labels(self._name, "revoked").inc()
        unit.future.set_exception(PermitRevoked(f"{self._name}: {unit.permit!r}"))
