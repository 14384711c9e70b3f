"""The owner of a model: batches under load, sheds what is stale, honours permits, leaks nothing."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from sidecar.errors import InferenceFailed, InvariantBroken, Overloaded, PermitRevoked
from sidecar.inference.batcher import Batcher, BatcherOptions
from sidecar.inference.collation import Padded, Whole
from sidecar.telemetry import Telemetry
from sidecar.types import Modality, Permit
from tests.fakes.clock import VirtualClock, settle


class GatedModel:
    """Doubles its input, each call only when the test opens the gate; keeps the sizes it was called with."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.threads: set[str] = set()
        self.error: Exception | None = None
        self._entered = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        self.threads.add(threading.current_thread().name)
        self.batches.append(inputs["x"].shape)
        self._entered.release()
        assert self._gate.acquire(timeout=10)
        if self.error is not None:
            raise self.error
        return {"y": inputs["x"] * 2}

    def open(self, calls: int = 1) -> None:
        self._gate.release(calls)

    async def entered(self) -> None:
        """Return once the model is inside one more call."""
        assert await asyncio.to_thread(self._entered.acquire, timeout=10)


class Rig:
    """A batcher with its collaborators in view."""

    def __init__(self, **options: Any) -> None:
        collation = options.pop("collation", None)
        self.model = GatedModel()
        self.clock = VirtualClock()
        self.telemetry = Telemetry()
        self.permit = Permit("ada", Modality.FACE)
        self.batcher = Batcher(
            self.model, "m", BatcherOptions(**options), self.clock, self.telemetry, collation=collation
        )

    def submit(self, value: float, permit: Permit | None = None, deadline_s: float | None = None) -> asyncio.Task[Any]:
        row = {"x": np.array([value])}
        return asyncio.create_task(self.batcher.infer(row, permit or self.permit, deadline_s))  # type: ignore[arg-type]

    def dropped(self, reason: str) -> float:
        return sample(self.telemetry.registry, "sidecar_dropped_total", stage="m", reason=reason)


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def test_units_that_queue_during_a_call_form_the_next_batch() -> None:
    rig = Rig(max_batch=4)
    async with rig.batcher:
        first = rig.submit(0)
        await rig.model.entered()
        rest = [rig.submit(value) for value in range(1, 7)]
        await settle()
        rig.model.open(3)
        rows = await asyncio.gather(first, *rest)
    assert [float(row["y"][0]) for row in rows] == [0, 2, 4, 6, 8, 10, 12]
    assert rig.model.batches == [(1, 1), (4, 1), (2, 1)]
    assert len(rig.model.threads) == 1
    assert "model-m" in rig.model.threads.pop()
    assert sample(rig.telemetry.registry, "sidecar_batch_size_sum", model="m") == 7
    assert sample(rig.telemetry.registry, "sidecar_inference_seconds_count", model="m") == 3
    assert sample(rig.telemetry.registry, "sidecar_queue_delay_seconds_count", model="m") == 7


async def test_a_wait_fills_a_batch_and_ends_with_it_or_with_time() -> None:
    rig = Rig(max_batch=2, max_wait_ms=50)
    rig.model.open(9)
    async with rig.batcher:
        lone = rig.submit(1)
        await rig.clock.advance(0.049)
        assert rig.model.batches == []
        await rig.clock.advance(0.002)
        await lone
        pair = [rig.submit(2), rig.submit(3)]
        await asyncio.gather(*pair)  # full: no time passes
    assert rig.model.batches == [(1, 1), (2, 1)]


async def test_a_full_queue_sheds_its_oldest() -> None:
    rig = Rig(max_batch=1, max_queue=2)
    async with rig.batcher:
        running = rig.submit(0)
        await rig.model.entered()
        oldest, middle, newest = rig.submit(1), rig.submit(2), rig.submit(3)
        with pytest.raises(Overloaded):
            await oldest
        rig.model.open(3)
        await asyncio.gather(running, middle, newest)
    assert rig.dropped("overload") == 1


async def test_a_stale_unit_costs_no_call() -> None:
    rig = Rig(max_batch=4)
    now_s = rig.clock.monotonic()
    async with rig.batcher:
        running = rig.submit(0, deadline_s=now_s + 1)
        await rig.model.entered()
        stale, fresh = rig.submit(1, deadline_s=now_s + 1), rig.submit(2, deadline_s=now_s + 9)
        await settle()
        await rig.clock.advance(2)
        assert rig.batcher.queue_delay_s == 2
        rig.model.open(2)
        with pytest.raises(Overloaded):
            await stale
        assert float((await fresh)["y"][0]) == 4
        await running  # it had started in time
        assert rig.batcher.queue_delay_s == 2
        await rig.clock.advance(3)
        assert rig.batcher.queue_delay_s == 0
    assert rig.model.batches == [(1, 1), (1, 1)]
    assert rig.dropped("stale") == 1


async def test_a_permit_is_checked_on_entry_before_the_call_and_after_it() -> None:
    rig = Rig(max_batch=4)
    inside, queued, late = (Permit("bob", Modality.FACE) for _ in range(3))
    late.revoke()
    async with rig.batcher:
        running, other = rig.submit(0, inside), rig.submit(1)
        await rig.model.entered()
        waiting = rig.submit(2, queued)
        await settle()
        inside.revoke()
        queued.revoke()
        rig.model.open()
        for task in (running, waiting, rig.submit(3, late)):
            with pytest.raises(PermitRevoked):
                await task
        assert float((await other)["y"][0]) == 2
    assert rig.model.batches == [(2, 1)]
    assert rig.dropped("revoked") == 2


async def test_who_stops_waiting_leaves_nothing_behind() -> None:
    rig = Rig(max_batch=1)
    async with rig.batcher:
        running = rig.submit(0)
        await rig.model.entered()
        rows = {"x": np.ones(1)}
        trace = weakref.ref(rows["x"])
        queued = asyncio.create_task(rig.batcher.infer(rows, rig.permit))
        await settle()
        for task in (running, queued):
            task.cancel()
        await asyncio.wait([running, queued])
        del rows, queued, running, task
        gc.collect()
        assert trace() is None
        rig.model.open(2)
        await rig.submit(5)
    assert rig.model.batches == [(1, 1), (1, 1)]


async def test_no_input_is_kept_once_it_has_been_answered() -> None:
    rig = Rig()
    rig.model.open()
    async with rig.batcher:
        rows = {"x": np.ones(1)}
        trace = weakref.ref(rows["x"])
        await rig.batcher.infer(rows, rig.permit)
        del rows
        await settle()
        gc.collect()
        assert trace() is None


async def test_a_failed_call_fails_its_batch_alone() -> None:
    rig = Rig(max_batch=2)
    async with rig.batcher:
        rig.model.error = InferenceFailed("out of memory")
        pair = [rig.submit(0), rig.submit(1)]
        rig.model.open()
        for task in pair:
            with pytest.raises(InferenceFailed):
                await task
        rig.model.error = None
        rig.model.open()
        assert float((await rig.submit(2))["y"][0]) == 4


async def test_closing_serves_what_is_queued_and_takes_nothing_more() -> None:
    rig = Rig(max_batch=1, max_wait_ms=50)
    rig.model.open(9)
    async with rig.batcher:
        queued = [rig.submit(value) for value in range(3)]
        await settle()
        await rig.batcher.aclose()
        assert [float(task.result()["y"][0]) for task in queued] == [0, 2, 4]
        with pytest.raises(InvariantBroken, match="not open"):
            await rig.submit(4)
        await rig.batcher.aclose()


async def test_an_error_around_it_leaves_nobody_waiting() -> None:
    rig = Rig(max_batch=1)
    tasks = []

    async def fail_in_mid_call() -> None:
        async with rig.batcher:
            tasks.append(rig.submit(0))
            await rig.model.entered()
            tasks.append(rig.submit(1))
            await settle()
            rig.model.open()
            raise KeyError

    with pytest.raises(KeyError):
        await fail_in_mid_call()
    await settle()
    assert [type(task.exception()) for task in tasks] == [InferenceFailed, InferenceFailed]


async def test_a_batch_that_breaks_the_batcher_fails_alone_and_the_next_is_served(monkeypatch) -> None:
    rig = Rig(max_batch=1)
    rig.model.open()
    async with rig.batcher:
        with monkeypatch.context() as patch:
            patch.setattr(rig.batcher, "_deliver", lambda *_: 1 / 0)
            broken = rig.submit(0)
            while not broken.done():
                await settle()
            assert isinstance(broken.exception(), InferenceFailed)
        assert rig.batcher.failing == {"batcher-m": "ZeroDivisionError"}
        later = rig.submit(1)
        rig.model.open()
        await rig.clock.advance(1)
        while not later.done():
            await settle()
        assert float(later.result()["y"][0]) == 2


async def test_before_opening() -> None:
    with pytest.raises(InvariantBroken, match="not open"):
        await Rig().submit(0)


def test_padding_fills_to_a_multiple() -> None:
    rows = [{"ids": np.array([5, 6, 7])}, {"ids": np.arange(9)}]
    batch = Padded(multiple=8).collate(rows)["ids"]
    assert batch.shape == (2, 16)
    assert batch[0].tolist() == [5, 6, 7] + [0] * 13
    assert [row["ids"].shape for row in Padded().split({"ids": batch}, 2)] == [(16,), (16,)]


async def test_a_unit_may_be_a_batch_by_itself() -> None:
    rig = Rig(max_batch=1, collation=Whole())
    rig.model.open()
    async with rig.batcher:
        row = await rig.batcher.infer({"x": np.zeros((3, 576), np.float32)}, rig.permit)
    assert row["y"].shape == (3, 576)
