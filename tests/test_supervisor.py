import asyncio
import logging
from itertools import pairwise

import pytest

from sidecar.errors import Unavailable
from sidecar.supervisor import Supervisor, describe
from sidecar.telemetry import Telemetry
from tests.fakes.clock import VirtualClock, settle


def failures(telemetry, name):
    return telemetry.task_failures.labels(name)._value.get()


async def test_a_failing_task_is_restarted_counted_and_shown_until_it_runs_steadily(caplog):
    clock, telemetry, runs = VirtualClock(), Telemetry(), []
    supervisor = Supervisor(clock, telemetry)

    async def work():
        runs.append(clock.monotonic())
        if len(runs) < 3:
            raise ValueError("anna said hello")
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        task = supervisor.start("drain", work)
        await settle()
        assert supervisor.failing == {"drain": "ValueError"}
        await clock.advance(2.0)
    assert [round(at - runs[0], 1) for at in runs] == [0.0, 0.5, 1.5]
    assert failures(telemetry, "drain") == 2
    assert task.running
    await clock.advance(60.0)
    assert supervisor.failing == {}
    assert "ValueError in work" in caplog.text
    assert "anna" not in caplog.text
    await supervisor.aclose()
    assert not task.running


async def test_work_that_returns_ends_and_stopping_is_immediate():
    supervisor = Supervisor(VirtualClock(), Telemetry())
    errors = []

    async def done():
        return None

    async def forever():
        await asyncio.Event().wait()

    finished = supervisor.start("short", done, errors.append)
    await finished.ended()
    endless = supervisor.start("long", forever)
    await settle()
    endless.stop()
    await endless.ended()
    assert not endless.running
    assert errors == []
    await supervisor.aclose()


async def test_a_failure_is_handed_to_the_owner_before_the_next_try():
    clock, seen = VirtualClock(), []
    supervisor = Supervisor(clock, Telemetry())

    async def broken():
        raise OSError(28, "No space left on device")

    supervisor.start("disk", broken, seen.append)
    await settle()
    assert [error.errno for error in seen] == [28]
    await clock.advance(120.0)
    assert 5 <= len(seen) <= 9  # the wait between two tries grows to 30 s
    await supervisor.aclose()


def test_a_description_keeps_messages_of_other_libraries_out():
    with pytest.raises(KeyError) as caught:
        {}["anna"]
    assert describe(caught.value).startswith("KeyError in test_a_description")
    assert "anna" not in describe(caught.value)
    assert describe(Unavailable("Redis is away")) == "Unavailable: Redis is away"


async def test_what_was_stopped_does_not_start_again_although_its_clean_up_fails():
    clock, runs = VirtualClock(), []
    supervisor = Supervisor(clock, Telemetry())

    async def work():
        runs.append(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("closing failed") from None

    task = supervisor.start("tap", work)
    await settle()
    task.stop()
    await clock.advance(60)
    assert not task.running
    assert runs == [1]


async def test_closing_leaves_what_hangs_and_counts_it():
    telemetry = Telemetry()
    supervisor = Supervisor(VirtualClock(), telemetry)
    released = asyncio.Event()

    async def stubborn():
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    task = supervisor.start("tap", stubborn)
    await settle()
    await supervisor.aclose(0.01)
    assert telemetry.dropped.labels("task", "hanging")._value.get() == 1
    released.set()
    await task.ended()


async def test_the_longest_wait_between_two_tries_is_a_choice():
    clock, tries = VirtualClock(), []
    supervisor = Supervisor(clock, Telemetry())

    async def broken():
        tries.append(clock.monotonic())
        raise Unavailable("away")

    supervisor.start("watcher", broken, longest_delay_s=2.0)
    await clock.advance(20)
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits[:2] == [0.5, 1.0]
    assert set(waits[2:]) == {2.0}
    await supervisor.aclose()


async def test_a_task_group_that_fails_is_no_stop():
    """Python 3.11 leaves the parent of a failed group marked as being cancelled."""
    clock, runs = VirtualClock(), []
    supervisor = Supervisor(clock, Telemetry())

    async def fail():
        raise Unavailable("away")

    async def work():
        runs.append(1)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        except* Unavailable as gone:
            raise gone.exceptions[0] from None

    supervisor.start("watcher", work, longest_delay_s=1.0)
    await clock.advance(5)
    assert len(runs) > 4
    await supervisor.aclose()
