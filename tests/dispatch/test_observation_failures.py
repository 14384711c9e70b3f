"""An observation whose observer or Redis misbehaves, on virtual time."""

import asyncio
import logging

import pytest

from sidecar.dispatch.agent_protocol import Assignment
from sidecar.dispatch.lease import LeaseOptions, room_key
from sidecar.dispatch.observation import LeasedObserver
from tests.dispatch.fakes import MemoryLeases, PatientObserver
from tests.dispatch.test_observation import ONE, Bench
from tests.fakes.clock import VirtualClock, settle


@pytest.mark.parametrize("since_s", [0.0, 30.0])
async def test_a_redis_that_refuses_ends_no_observation(since_s: float, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    if since_s:
        await bench.clock.advance(since_s)
    bench.leases.refusing = True
    await bench.clock.advance(60)
    assert bench.observer.left == []
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1  # logged once
    bench.leases.refusing = False
    await bench.clock.advance(2)
    assert await bench.holder() == "worker-a"
    bench.leases.refusing = True
    bench.observer.end("one")
    await bench.run


async def test_a_redis_that_refuses_does_not_hide_a_cancellation() -> None:
    bench = Bench()
    await settle()
    bench.leases.refusing = True
    bench.run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bench.run
    assert bench.observer.left == ["one"]


class ReadyToFail:
    """A `RoomObserver` that fails before it waits for anything."""

    async def observe(self, assignment: Assignment) -> None:
        raise ValueError("a bug")


async def test_an_observer_that_fails_at_once_leaves_no_lease() -> None:
    clock = VirtualClock()
    leases = MemoryLeases(clock)
    leased = LeasedObserver(ReadyToFail(), leases, "worker-a", LeaseOptions(), clock)
    with pytest.raises(ExceptionGroup) as caught:
        await leased.observe(ONE)
    assert caught.group_contains(ValueError, match="a bug")
    assert await leases.holders([room_key("one")]) == [None]
    assert len(asyncio.all_tasks()) == 1


async def test_logs_name_no_room(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clock = VirtualClock()
    leases = MemoryLeases(clock)
    await leases.claim(room_key("secret-room"), "worker-b", 60)
    observer = PatientObserver()
    assignment = Assignment("secret-room", "AJ_1", "ws://127.0.0.1", "a token")
    await LeasedObserver(observer, leases, "worker-a", LeaseOptions(), clock).observe(assignment)
    assert "worker-b" in caplog.text
    assert "secret-room" not in caplog.text
