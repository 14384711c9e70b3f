"""The watcher among floods of webhooks, slow servers, refusals and bugs, on virtual time."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from sidecar.dispatch.lease import WATCHER_KEY, room_key
from sidecar.dispatch.watcher import Watcher
from sidecar.errors import CredentialsRefused, Unavailable
from tests.dispatch.fakes import FakeRoom
from tests.dispatch.world import OPTIONS, World
from tests.fakes.clock import settle


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for name in list(made.runs):
        await made.stop(name)


async def wake_while(world: World, watcher: Watcher, every_s: float, seconds: float, *rooms: str) -> None:
    """Webhooks about all `rooms`, every so often."""
    for _ in range(round(seconds / every_s)):
        for room in rooms:
            watcher.wake(room)
        await world.clock.advance(every_s)


@pytest.mark.parametrize("every_s", [0.05, 0.3, 0.5, 0.9, 1.0])
async def test_a_dead_worker_is_replaced_however_many_webhooks_arrive(world: World, every_s: float) -> None:
    world.rooms.known = {"dead": FakeRoom(), "busy": FakeRoom()}
    watcher = world.start()
    await world.clock.advance(1)
    await world.pass_time(20, "dead", "busy")
    world.rooms.log.clear()
    for _ in range(15):  # the worker of one room was killed, the other's goes on
        await world.attend("busy")
        await wake_while(world, watcher, every_s, 1.0, "busy")
    assert world.rooms.log[:3] == ["delete dead", "remove dead", "create dead"]


async def test_a_flood_of_webhooks_about_one_room_costs_a_bounded_number_of_calls(world: World) -> None:
    world.rooms.known["one"] = FakeRoom(people=False)
    watcher = world.start()
    await world.clock.advance(5)
    world.rooms.looks = world.rooms.listings = 0
    await wake_while(world, watcher, 0.005, 10, "one")
    assert world.rooms.listings <= 11
    assert world.rooms.looks <= 10 * (1 / OPTIONS.period_s + 1 / OPTIONS.wake_spacing_s) + 2


async def test_a_flood_of_webhooks_about_many_rooms_costs_a_bounded_number_of_calls(world: World) -> None:
    watcher = world.start()
    await world.clock.advance(5)
    for number in range(100_000):
        watcher.wake(f"gone {number}")
    await world.clock.advance(10)
    assert world.rooms.looks <= 1024
    assert world.rooms.listings >= 14
    assert len(watcher._memories) == 0
    assert len(watcher._woken) == 0
    world.rooms.known["late"] = FakeRoom()
    watcher.wake("late")
    await settle()
    assert world.rooms.log == ["create late"]


async def test_rooms_known_from_webhooks_are_forgotten_while_the_listing_fails(world: World) -> None:
    world.rooms.errors[""] = Unavailable("LiveKit answered 503")
    watcher = world.start()
    for number in range(500):
        watcher.wake(f"gone {number}")
        await world.clock.advance(0.1)
    assert len(watcher._memories) == 0


async def test_a_slow_listing_delays_no_webhook(world: World) -> None:
    world.rooms.listing_s = 4.0
    watcher = world.start()
    await world.clock.advance(1)
    world.rooms.known["late"] = FakeRoom()
    watcher.wake("late")
    await settle()
    assert world.rooms.log == ["create late"]
    await world.clock.advance(4)  # the listing began before the room, and must not have it dispatched again
    assert world.rooms.log == ["create late"]


async def test_a_failing_listing_delays_no_webhook(world: World) -> None:
    world.rooms.errors[""] = Unavailable("LiveKit answered 503")
    watcher = world.start()
    world.rooms.known["late"] = FakeRoom()
    await world.clock.advance(1)
    watcher.wake("late")
    await settle()
    assert world.rooms.log == ["create late"]


async def test_a_webhook_during_a_full_round_makes_no_second_dispatch(world: World) -> None:
    world.rooms.known = {"one": FakeRoom(), "two": FakeRoom()}
    world.rooms.look_s = 0.5
    watcher = world.start()
    await wake_while(world, watcher, 0.1, 4, "one", "two")
    assert sorted(world.rooms.log) == ["create one", "create two"]


async def test_two_watchers_at_a_slow_server_do_act(world: World) -> None:
    world.rooms.known = {f"room {number}": FakeRoom() for number in range(20)}
    world.rooms.listing_s = world.rooms.look_s = 2.0  # a round takes longer than the lead lasts without renewal
    world.start("watcher-a")
    await world.clock.advance(0.7)
    world.start("watcher-b")
    await world.clock.advance(60)
    assert {f"create room {number}" for number in range(20)} <= set(world.rooms.log)
    assert await world.leases.holders([WATCHER_KEY]) == ["watcher-a"]


async def test_a_watcher_ends_its_lead_when_it_is_stopped_in_a_round(world: World) -> None:
    world.rooms.listing_s = 4.0
    world.start("watcher-a")
    await world.clock.advance(1)
    await world.stop("watcher-a")
    assert await world.leases.holders([WATCHER_KEY]) == [None]


@pytest.mark.parametrize("where", ["", "one"])
async def test_a_refusal_is_raised_by_itself(world: World, where: str) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.rooms.errors[where] = CredentialsRefused("LiveKit refused the API key")
    world.start()
    run = world.runs["watcher-a"]
    await settle(60)
    assert run.done()
    assert isinstance(run.exception(), CredentialsRefused)  # not in a group


async def test_a_refusal_in_a_dispatch_is_raised_by_itself(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()

    async def refuse(room: str) -> None:
        raise CredentialsRefused("LiveKit refused the API key")

    world.rooms.create_dispatch = refuse  # type: ignore[method-assign, assignment]
    watcher = world.start()
    watcher.wake("one")
    await settle(60)
    assert isinstance(world.runs["watcher-a"].exception(), CredentialsRefused)


async def test_a_redis_that_refuses_from_the_start_is_an_error(world: World) -> None:
    world.leases.refusing = True
    world.start()
    await settle(60)
    assert isinstance(world.runs["watcher-a"].exception(), CredentialsRefused)


async def test_a_redis_that_refuses_later_counts_as_away(world: World) -> None:
    world.rooms.known["one"] = FakeRoom()
    world.start()
    await world.clock.advance(1)
    await world.pass_time(20, "one")
    world.leases.refusing = True
    await world.clock.advance(60)
    assert world.rooms.log == ["create one"]  # the observer is there
    assert not world.runs["watcher-a"].done()
    await world.stop("watcher-a")


@pytest.mark.parametrize("where", ["", "bad"])
async def test_a_bug_does_not_end_the_watcher(world: World, where: str) -> None:
    world.rooms.known = {"bad": FakeRoom(), "good": FakeRoom()}
    world.rooms.errors[where] = ZeroDivisionError("a bug")
    world.start()
    await world.clock.advance(3)
    if where:
        assert "create good" in world.rooms.log
    world.rooms.errors.clear()
    await world.pass_time(3, "good")
    assert "create bad" in world.rooms.log
    assert not world.runs["watcher-a"].done()


async def test_logs_name_no_room(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    room = "secret-room"
    world.rooms.known[room] = FakeRoom()
    watcher = world.start()
    watcher.wake(room)
    await world.clock.advance(20)
    await world.pass_time(20, room)
    await world.clock.advance(20)
    world.rooms.errors[room] = ValueError(f"{room} is bad")
    await world.clock.advance(5)
    world.rooms.errors[room] = Unavailable("LiveKit answered 503")
    await world.clock.advance(5)
    world.rooms.errors.clear()
    await world.leases.release(room_key(room), "worker-a")
    await world.clock.advance(20)
    assert len(caplog.records) > 5
    assert room not in caplog.text


async def test_what_goes_on_failing_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.rooms.errors[""] = Unavailable("LiveKit answered 503")
    world.start()
    await world.clock.advance(60)
    assert len([each for each in caplog.records if each.levelno >= logging.INFO]) == 1
    world.rooms.errors.clear()
    await world.clock.advance(5)
    world.rooms.errors[""] = Unavailable("LiveKit answered 503")
    await world.clock.advance(5)
    assert len([each for each in caplog.records if each.levelno >= logging.INFO]) == 2


async def test_cancelling_ends_both_loops(world: World) -> None:
    world.start()
    await world.clock.advance(2)
    before = asyncio.all_tasks()
    await world.stop("watcher-a")
    assert len(asyncio.all_tasks() & before) == 1  # this test
