"""The lease around an observation, on virtual time."""

import asyncio

import pytest

from sidecar.dispatch.agent_protocol import Assignment
from sidecar.dispatch.lease import LeaseOptions, room_key
from sidecar.dispatch.observation import LeasedObserver
from tests.dispatch.fakes import MemoryLeases, PatientObserver
from tests.fakes.clock import VirtualClock, settle

ONE = Assignment("one", "AJ_1", "ws://127.0.0.1", "a token")


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.leases = MemoryLeases(self.clock)
        self.observer = PatientObserver()
        leased = LeasedObserver(self.observer, self.leases, "worker-a", LeaseOptions(), self.clock)
        self.run = asyncio.create_task(leased.observe(ONE))

    async def holder(self) -> str | None:
        [holder] = await self.leases.holders([room_key("one")])
        return holder


async def test_the_lease_lives_as_long_as_the_observation() -> None:
    bench = Bench()
    await bench.clock.advance(60)
    assert await bench.holder() == "worker-a"
    bench.observer.end("one")
    await bench.run
    assert await bench.holder() is None


async def test_the_lease_of_a_killed_worker_ends_within_6_s() -> None:
    bench = Bench()
    await bench.clock.advance(30)
    bench.leases.away = True  # nothing reaches Redis any more
    await bench.clock.advance(6)
    bench.leases.away = False
    assert await bench.holder() is None
    bench.run.cancel()
    await asyncio.gather(bench.run, return_exceptions=True)


async def test_cancelling_leaves_the_room_and_gives_the_lease_back() -> None:
    bench = Bench()
    await settle()
    bench.run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bench.run
    assert bench.observer.left == ["one"]
    assert await bench.holder() is None


async def test_redis_away_ends_no_observation() -> None:
    bench = Bench()
    await settle()
    bench.leases.away = True
    await bench.clock.advance(300)
    assert bench.observer.left == []
    bench.leases.forget()
    bench.leases.away = False
    await bench.clock.advance(2)
    assert await bench.holder() == "worker-a"
    bench.observer.end("one")
    await bench.run


async def test_a_lease_lost_to_another_ends_the_observation_and_stays_theirs() -> None:
    bench = Bench()
    await settle()
    bench.leases.forget()
    await bench.leases.claim(room_key("one"), "worker-b", 60)
    await bench.clock.advance(2)
    await bench.run
    assert bench.observer.left == ["one"]
    assert await bench.holder() == "worker-b"


async def test_a_failure_ends_the_lease_and_is_passed_on() -> None:
    bench = Bench()
    await settle()
    bench.observer.end("one", ValueError("a bug"))
    with pytest.raises(ExceptionGroup) as caught:
        await bench.run
    assert caught.group_contains(ValueError, match="a bug")
    assert await bench.holder() is None
