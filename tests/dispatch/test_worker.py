"""The worker's part in the agent protocol, over a real websocket."""

import asyncio
from dataclasses import replace

import pytest
from livekit.protocol import agent

from sidecar.dispatch.lease import room_key
from sidecar.dispatch.worker import WorkerState
from sidecar.errors import CredentialsRefused
from tests.dispatch.agent_server import agent_server
from tests.dispatch.bench import Bench, running


async def test_registers_as_a_hidden_subscriber_that_may_do_nothing_else() -> None:
    async with running() as (bench, server):
        [registration] = server.registrations
        assert registration.type == agent.JT_ROOM
        assert registration.agent_name == "engagement-sidecar"
        assert registration.version == "1.2.3"
        permissions = {each.name: value for each, value in registration.allowed_permissions.ListFields()}
        assert permissions == {"hidden": True, "can_subscribe": True}
        assert bench.worker.state is WorkerState.REGISTERED
        await asyncio.wait_for(bench.worker.first_registration(), 1)
    assert bench.worker.state is WorkerState.STOPPED


async def test_takes_an_offered_room_under_the_one_identity() -> None:
    async with running() as (bench, server):
        answer = await server.offer("daily/stand-up 🙂")
        assert answer.available
        assert answer.participant_identity == "engagement-sidecar"
        await bench.observing("daily/stand-up 🙂")
        assignment = bench.observer.assignments["daily/stand-up 🙂"]
        assert assignment.token == "a token"
        assert assignment.url.startswith("ws://127.0.0.1:")
        assert "a token" not in repr(assignment)


async def test_reports_its_rooms_as_load_at_once() -> None:
    async with running() as (bench, server):
        await server.offer("one")
        await server.until(lambda: server.statuses[-1].job_count == 1)
        assert server.statuses[-1].load == pytest.approx(0.1)
        assert server.statuses[-1].status == agent.WS_AVAILABLE
        bench.load.value = 0.5
        await server.until(lambda: server.statuses[-1].load == pytest.approx(0.5))


async def test_many_idle_rooms_never_make_a_worker_full() -> None:
    async with running() as (_, server):
        for number in range(12):
            assert (await server.offer(f"room {number}")).available
        await server.until(lambda: server.statuses[-1].job_count == 12)
        assert server.statuses[-1].status == agent.WS_AVAILABLE
        assert server.statuses[-1].load < 0.7  # at the server's limit, dispatches would fail


async def test_refuses_when_loaded_and_says_so() -> None:
    async with running() as (bench, server):
        bench.load.value = 0.7
        await server.until(lambda: server.statuses[-1].status == agent.WS_FULL)
        answer = await server.offer("one")
        assert not answer.available
        assert not answer.terminate
        assert bench.outcomes("refused_load") == 1


async def test_refuses_a_room_that_another_worker_observes() -> None:
    async with running() as (bench, server):
        await bench.leases.claim(room_key("one"), "worker-b", 6)
        assert not (await server.offer("one")).available
        assert bench.outcomes("refused_held") == 1


async def test_takes_rooms_while_redis_is_away() -> None:
    async with running() as (bench, server):
        bench.leases.away = True
        assert (await server.offer("one")).available
        await bench.observing("one")


async def test_a_second_job_for_its_own_room_is_done_already() -> None:
    async with running() as (bench, server):
        await server.offer("one")
        await bench.observing("one")
        answer = await server.offer("one")
        assert answer.terminate
        assert not answer.available
        assert bench.observer.left == []


async def test_a_failing_room_stops_no_other() -> None:
    async with running() as (bench, server):
        await server.offer("good")
        await server.offer("bad")
        await bench.observing("good", "bad")
        bench.observer.end("bad", ZeroDivisionError("a bug"))
        await server.until(lambda: "AJ_1" in server.ended)
        assert server.ended["AJ_1"].status == agent.JS_FAILED
        assert server.ended["AJ_1"].error == "ZeroDivisionError"  # without its text, which may quote words
        assert bench.worker.rooms == ("good",)
        assert bench.outcomes("failed") == 1


async def test_a_call_that_ends_ends_its_job() -> None:
    async with running() as (bench, server):
        await server.offer("one")
        await bench.observing("one")
        await server.until(lambda: server.running == {"AJ_0"})
        bench.observer.end("one")
        await server.until(lambda: "AJ_0" in server.ended)
        assert server.ended["AJ_0"].status == agent.JS_SUCCESS
        await server.until(lambda: server.statuses[-1].job_count == 0)


async def test_termination_ends_that_room_alone() -> None:
    async with running() as (bench, server):
        await server.offer("one")
        await server.offer("two")
        await bench.observing("one", "two")
        await server.terminate("AJ_0")
        await server.until(lambda: "AJ_0" in server.ended)
        assert bench.observer.left == ["one"]
        assert bench.worker.rooms == ("two",)


async def test_observations_go_on_while_the_server_is_away() -> None:
    async with running() as (bench, server):
        await server.offer("one")
        await bench.observing("one")
        await server.drop_workers()
        await server.until(lambda: len(server.registrations) == 2)
        reports = len(server.statuses)
        await server.until(lambda: len(server.statuses) > reports)
        assert server.statuses[-1].job_count == 1
        assert bench.observer.left == []
        assert bench.worker.state is WorkerState.REGISTERED


async def test_waits_for_a_server_that_is_not_there_yet() -> None:
    async with agent_server() as (_, address):
        port = int(address.url.rsplit(":", 1)[1])
    bench = Bench(address)
    run = asyncio.create_task(bench.worker.run())
    await asyncio.sleep(0)
    assert bench.worker.state is WorkerState.CONNECTING
    async with agent_server(port) as (server, _):
        await server.until(lambda: bool(server.statuses))
        assert bench.worker.state is WorkerState.REGISTERED
        await bench.worker.drain()
        await asyncio.wait_for(run, 5)


async def test_refused_credentials_end_the_run() -> None:
    async with agent_server() as (_, address):
        bench = Bench(replace(address, api_secret="another secret of thirty-two bytes"))
        with pytest.raises(CredentialsRefused, match="API key"):
            await asyncio.wait_for(bench.worker.run(), 5)
        assert bench.worker.state is WorkerState.STOPPED


async def test_draining_leaves_every_room_and_takes_no_more() -> None:
    async with agent_server() as (server, address):
        bench = Bench(address)
        run = asyncio.create_task(bench.worker.run())
        await server.until(lambda: bool(server.statuses))
        await server.offer("one")
        await server.offer("two")
        await bench.observing("one", "two")
        await bench.worker.drain()
        await asyncio.wait_for(run, 5)
        await server.until(lambda: {"AJ_0", "AJ_1"} <= set(server.ended))
        assert sorted(bench.observer.left) == ["one", "two"]
        assert any(status.draining and status.status == agent.WS_FULL for status in server.statuses)
        assert bench.worker.rooms == ()


async def test_draining_does_not_wait_for_ever() -> None:
    async with agent_server() as (server, address):
        bench = Bench(address)
        bench.observer.reluctant = True
        run = asyncio.create_task(bench.worker.run())
        await server.until(lambda: bool(server.statuses))
        await server.offer("one")
        await bench.observing("one")
        await bench.worker.drain()
        await asyncio.wait_for(run, 5)
        assert bench.worker.rooms == ()


async def test_draining_before_the_run_is_no_run() -> None:
    async with agent_server() as (server, address):
        bench = Bench(address)
        await bench.worker.drain()
        await asyncio.wait_for(bench.worker.run(), 5)
        assert server.registrations == []
