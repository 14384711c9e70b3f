"""The watcher among rooms, leases and other watchers, on virtual time."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from sidecar.dispatch.lease import WATCHER_KEY, room_key
from tests.dispatch.fakes import FakeRoom
from tests.dispatch.world import OPTIONS, World
from tests.fakes.clock import settle


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for name in list(made.runs):
        await made.stop(name)


async def test_rooms_that_exist_are_dispatched_once(world: World) -> None:
    world.rooms.known = {"one": FakeRoom(), "two": FakeRoom()}
    world.start()
    await world.clock.advance(2)
    assert world.rooms.log == ["create one", "create two"]
    await world.attend("one")
    await world.attend("two")
    await world.pass_time(30, "one", "two")
    assert world.rooms.log == ["create one", "create two"]


async def test_a_new_room_waits_for_the_next_round_at_most(world: World) -> None:
    world.start()
    await world.clock.advance(10)
    world.rooms.known["late"] = FakeRoom()
    await world.clock.advance(OPTIONS.period_s)
    assert world.rooms.log == ["create late"]


async def test_a_webhook_brings_the_look_forward(world: World) -> None:
    watcher = world.start()
    await world.clock.advance(10)
    world.rooms.known["late"] = FakeRoom()
    watcher.wake("late")
    await settle()
    assert world.rooms.log == ["create late"]


async def test_a_webhook_about_a_room_that_is_gone_harms_nothing(world: World) -> None:
    watcher = world.start()
    await settle()
    watcher.wake("gone")
    await world.clock.advance(5)
    assert world.rooms.log == []
    world.rooms.known["next"] = FakeRoom()
    await world.clock.advance(OPTIONS.period_s)
    assert world.rooms.log == ["create next"]


async def test_a_leased_room_costs_the_server_nothing(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    await world.attend("one")
    world.start()
    await world.pass_time(60, "one")
    assert world.rooms.looks == 0


async def test_an_empty_room_is_left_alone(world: World) -> None:
    world.rooms.known["one"] = FakeRoom(people=False, observer=True)
    world.start()
    await world.clock.advance(60)
    assert world.rooms.log == []


async def test_a_room_that_empties_meanwhile_is_not_brought_back(world: World) -> None:
    world.rooms.known = {"one": FakeRoom(), "two": FakeRoom()}
    world.start()
    await settle()
    assert world.rooms.log == ["create one"]  # the second waits for its turn
    del world.rooms.known["two"]
    await world.clock.advance(1)
    assert "two" not in world.rooms.known


async def test_a_killed_worker_is_replaced_within_15_s(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start()
    await world.clock.advance(1)
    await world.pass_time(30, "one")
    world.rooms.log.clear()
    await world.clock.advance(11)  # the observer is still listed, the lease runs out
    assert world.rooms.log[:3] == ["delete one", "remove one", "create one"]


async def test_a_killed_worker_that_led_is_replaced_within_15_s(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start("watcher-a")
    await world.clock.advance(1)
    world.start("watcher-b")
    await world.pass_time(30, "one")
    world.rooms.log.clear()
    world.kill("watcher-a")
    await world.clock.advance(11)
    assert world.rooms.log[:3] == ["delete one", "remove one", "create one"]


async def test_a_worker_that_left_cleanly_is_replaced_at_once(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start()
    await world.clock.advance(1)
    await world.pass_time(30, "one")
    world.rooms.log.clear()
    await world.leases.release(room_key("one"), "worker-a")
    world.rooms.known["one"].observer = False
    await world.clock.advance(OPTIONS.period_s)
    assert world.rooms.log == ["delete one", "create one"]


async def test_dispatches_without_a_worker_are_made_anew_ever_more_slowly(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start()
    made_s: list[float] = []
    for _ in range(600):
        before = world.rooms.log.count("create one")
        await world.clock.advance(0.1)
        if world.rooms.log.count("create one") > before:
            made_s.append(world.clock.monotonic())
        assert len(world.rooms.known["one"].dispatches) <= 1
    gaps = [late - early for early, late in pairwise(made_s)]
    assert gaps[0] <= 6 + OPTIONS.period_s + 0.3
    assert all(8 <= gap <= 8 + OPTIONS.period_s + 0.3 for gap in gaps[3:])


async def test_an_observation_that_lasts_starts_the_delays_anew(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start()
    await world.clock.advance(40)  # many attempts in vain
    await world.pass_time(15, "one")
    world.rooms.log.clear()
    await world.leases.release(room_key("one"), "worker-a")
    world.rooms.known["one"].observer = False
    await world.clock.advance(OPTIONS.period_s)
    assert world.rooms.log == ["delete one", "create one"]


async def test_an_inherited_dispatch_gets_its_grace_whatever_the_clocks_say(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.dispatch_of("one", age_s=-3600)  # the server's clock is an hour ahead
    world.start()
    await world.clock.advance(5.9)
    assert world.rooms.log == []
    await world.clock.advance(2)
    assert world.rooms.log == ["delete one", "create one"]


async def test_one_of_two_watchers_acts_and_the_other_takes_over(world: World) -> None:
    world.start("watcher-a")
    world.start("watcher-b")
    await world.clock.advance(5)
    world.rooms.known["one"] = FakeRoom()
    await world.clock.advance(2)
    assert world.rooms.log == ["create one"]
    await world.attend("one")
    await world.stop("watcher-a")
    assert await world.leases.holders([WATCHER_KEY]) == [None]  # resigned
    world.rooms.known["two"] = FakeRoom()
    await world.pass_time(2, "one")
    assert world.rooms.log == ["create one", "create two"]


async def test_without_redis_presence_decides_and_the_leader_acts(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start("watcher-a")
    await world.clock.advance(1)
    world.start("watcher-b")
    await world.pass_time(20, "one")
    world.leases.away = True
    await world.pass_time(60, "one")
    assert world.rooms.log == ["create one"]  # the observer is there
    world.rooms.known["one"].observer = False  # killed, and no longer listed
    await world.clock.advance(OPTIONS.period_s)
    assert world.rooms.log == ["create one", "delete one", "create one"]


async def test_without_redis_and_leader_the_other_watcher_acts_after_a_while(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start("watcher-a")
    await world.clock.advance(1)
    world.start("watcher-b")
    await world.pass_time(20, "one")
    world.leases.away = True
    world.kill("watcher-a")
    await world.clock.advance(20)
    world.rooms.known["one"].observer = False
    world.rooms.log.clear()
    await world.clock.advance(8)
    assert world.rooms.log == ["delete one", "create one"]


async def test_a_redis_that_forgot_everything_costs_no_observation(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start()
    await world.clock.advance(1)
    await world.pass_time(20, "one")
    world.leases.away = True
    await world.clock.advance(30)
    world.leases.forget()
    world.leases.away = False
    await world.clock.advance(1.9)  # the worker has not renewed yet
    await world.pass_time(60, "one")
    assert world.rooms.log == ["create one"]


async def test_a_lease_lost_between_two_renewals_costs_no_observation(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start()
    await world.clock.advance(1)
    await world.pass_time(20, "one")
    world.leases.forget()
    await world.clock.advance(2)
    await world.pass_time(20, "one")
    assert world.rooms.log == ["create one"]


async def test_a_room_that_cannot_be_looked_at_stops_no_other(world: World) -> None:
    world.rooms.known = {"bad": FakeRoom(), "good": FakeRoom()}
    world.rooms.failing = {"bad"}
    world.start()
    await world.clock.advance(2)
    assert world.rooms.log == ["create good"]
    world.rooms.failing.clear()
    await world.pass_time(2, "good")
    assert world.rooms.log == ["create good", "create bad"]
