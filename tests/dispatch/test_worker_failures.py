"""A worker whose server, rooms or Redis misbehave: only a refused registration ends it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from livekit.protocol import agent

from sidecar.dispatch import agent_protocol
from sidecar.dispatch.agent_protocol import Assignment
from sidecar.dispatch.worker import WorkerState
from sidecar.errors import CredentialsRefused
from tests.dispatch.agent_server import AgentServer, agent_server
from tests.dispatch.bench import OPTIONS, Bench, running
from tests.dispatch.broken_api import AGENT, Answer, answer, broken_api, hanging, json, page, redirect, truncated

ASSIGNED_SOON = msgspec.structs.replace(OPTIONS, assignment_wait_s=0.2)


async def observing_one(bench: Bench, server: AgentServer) -> None:
    await server.offer("one")
    await bench.observing("one")


# --- Two offers inside one report: livekit/agents#4884


async def test_accepted_rooms_count_before_they_start() -> None:
    async with running() as (bench, server):
        bench.load.value = 0.55
        assert (await server.ask(server.job("one"))).available
        assert (await server.ask(server.job("two"))).available  # 0.55 + 0.1 is below 0.7
        assert not (await server.ask(server.job("three"))).available
        assert bench.outcomes("refused_load") == 1
        await server.until(lambda: server.statuses[-1].job_count == 2)
        assert server.statuses[-1].load == pytest.approx(0.75)
        assert server.statuses[-1].status == agent.WS_FULL


async def test_accepted_rooms_are_reported_at_once() -> None:
    async with running(msgspec.structs.replace(OPTIONS, report_s=30.0)) as (_, server):
        await server.ask(server.job("one"))
        await server.until(lambda: server.statuses[-1].job_count == 1)
        assert server.statuses[-1].load == pytest.approx(0.1)


async def test_a_room_that_is_offered_twice_counts_once() -> None:
    async with running() as (bench, server):
        bench.load.value = 0.55
        first, second = server.job("one"), server.job("one")
        assert (await server.ask(first)).available
        assert (await server.ask(second)).available
        await server.until(lambda: server.statuses[-1].load == pytest.approx(0.65))
        assert server.statuses[-1].job_count == 1
        await server.assign(agent.JobAssignment(job=first, token="a token"))
        await server.assign(agent.JobAssignment(job=second, token="a token"))
        await server.until(lambda: second.id in server.ended)  # a job that is over, or the server waits for it
        assert server.ended[second.id].status == agent.JS_SUCCESS
        assert bench.worker.rooms == ("one",)


async def test_an_accepted_room_that_went_to_another_worker_stops_counting() -> None:
    async with running(ASSIGNED_SOON) as (bench, server):
        bench.load.value = 0.65
        assert (await server.ask(server.job("one"))).available
        assert not (await server.ask(server.job("two"))).available
        await server.until(lambda: server.statuses[-1].job_count == 0)
        assert server.statuses[-1].status == agent.WS_AVAILABLE
        assert (await server.ask(server.job("two"))).available


async def test_a_room_counts_once_when_it_is_assigned() -> None:
    async with running() as (bench, server):
        await observing_one(bench, server)
        await server.until(lambda: len(server.running) == 1)
        await server.until(lambda: server.statuses[-1].job_count == 1)
        assert server.statuses[-1].load == pytest.approx(0.1)


async def test_accepted_rooms_end_with_their_connection() -> None:
    async with running() as (_, server):
        await server.ask(server.job("one"))
        await server.drop_workers()
        await server.until(lambda: len(server.registrations) == 2)
        reports = len(server.statuses)
        await server.until(lambda: len(server.statuses) > reports)
        assert server.statuses[-1].job_count == 0


# --- Messages


@pytest.mark.parametrize(
    "payload",
    [
        "text",
        "",
        b"",
        b"\xff" * 100,
        b"<html>502</html>",
        b"\x0a\x05half",
        agent.ServerMessage(availability=agent.AvailabilityRequest()).SerializeToString(),
        agent.ServerMessage(assignment=agent.JobAssignment()).SerializeToString(),
        agent.ServerMessage(termination=agent.JobTermination()).SerializeToString(),
        agent.ServerMessage(termination=agent.JobTermination(job_id="AJ_unknown")).SerializeToString(),
        agent.ServerMessage(register=agent.RegisterWorkerResponse()).SerializeToString(),
        agent.ServerMessage(pong=agent.WorkerPong()).SerializeToString(),
    ],
)
async def test_one_odd_message_changes_nothing(payload: bytes | str) -> None:
    async with running() as (bench, server):
        await observing_one(bench, server)
        await server.send(payload)
        assert (await server.offer("two")).available
        await bench.observing("one", "two")
        assert len(server.registrations) == 1


async def test_unreadable_messages_are_counted() -> None:
    async with running() as (bench, server):
        for _ in range(3):
            await server.send(b"\xff" * 10)
        await server.offer("one")
        assert bench.dropped("agent_protocol", "unreadable") == 3


async def test_a_server_that_only_talks_rubbish_is_left_and_tried_again() -> None:
    async with running() as (bench, server):
        await observing_one(bench, server)
        for _ in range(25):
            await server.send(b"\xff" * 10)
        await server.until(lambda: len(server.registrations) == 2)
        assert bench.observer.left == []
        await server.offer("two")
        await bench.observing("one", "two")


@pytest.mark.parametrize(
    ("token", "url", "room"),
    [
        ("", "", "two"),
        ("a token", "", ""),
        ("a token", "http://[::1", "two"),
        ("a token", "nonsense", "two"),
        ("a token", "file:///etc/passwd", "two"),
    ],
)
async def test_an_assignment_that_cannot_be_used_is_a_failed_job(token: str, url: str, room: str) -> None:
    async with running() as (bench, server):
        await observing_one(bench, server)
        job = server.job(room)
        await server.assign(agent.JobAssignment(job=job, token=token, url=url))
        await server.until(lambda: job.id in server.ended)
        assert server.ended[job.id].status == agent.JS_FAILED
        assert bench.outcomes("unusable") == 1
        assert bench.worker.rooms == ("one",)
        assert len(server.registrations) == 1


async def test_an_assignment_that_was_never_offered_is_taken() -> None:
    async with running() as (bench, server):
        await server.assign(agent.JobAssignment(job=server.job("one"), token="a token"))
        await bench.observing("one")


# --- Registration


@asynccontextmanager
async def at_a_broken_server(given: Answer) -> AsyncIterator[tuple[Bench, asyncio.Task[None], list[str]]]:
    async with broken_api() as broken:
        broken.everything = given
        bench = Bench(broken.server)
        run = asyncio.create_task(bench.worker.run())
        yield bench, run, broken.requests
        await bench.worker.drain()
        await asyncio.wait_for(run, 5)


@pytest.mark.parametrize(
    "given",
    [
        page(),
        page(401),
        page(403),
        page(502),
        answer("", 404, "text/plain"),
        answer("", 101),
        json("[]", 500),
        redirect("http://[::1"),
        redirect("ws://127.0.0.1:1/agent", 302),
        redirect("/agent", 301),
        truncated,
    ],
)
async def test_an_odd_answer_to_the_upgrade_is_tried_again(given: Answer) -> None:
    async with at_a_broken_server(given) as (bench, run, requests):
        async with asyncio.timeout(5):
            while len(requests) < 4:
                await asyncio.sleep(0.01)
        assert set(requests) == {AGENT}
        assert not run.done()
        assert bench.worker.state is WorkerState.CONNECTING


async def test_a_redirect_sends_no_token_to_another_address() -> None:
    async with broken_api() as other, at_a_broken_server(redirect(f"{other.server.url}/agent")) as (_, _, requests):
        async with asyncio.timeout(5):
            while len(requests) < 3:
                await asyncio.sleep(0.01)
        assert other.requests == []


async def test_an_upgrade_that_is_never_answered_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_protocol, "_OPEN_TIMEOUT_S", 0.1)
    async with at_a_broken_server(hanging) as (_, run, requests), asyncio.timeout(5):
        while len(requests) < 3:
            await asyncio.sleep(0.01)
        assert not run.done()


async def test_a_registration_that_is_never_answered_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_protocol, "_OPEN_TIMEOUT_S", 0.1)
    async with agent_server() as (server, address):
        server.silent = True
        bench = Bench(address)
        run = asyncio.create_task(bench.worker.run())
        await server.until(lambda: len(server.registrations) >= 3)
        server.silent = False
        await server.until(lambda: bool(server.statuses))
        await bench.worker.drain()
        await asyncio.wait_for(run, 5)


@pytest.mark.parametrize(
    "given", [answer("invalid API key: devkey", 401, "text/plain"), json('{"code":"permission_denied"}', 403)]
)
async def test_a_refusal_of_the_registration_ends_the_run(given: Answer) -> None:
    async with broken_api() as broken:
        broken.everything = given
        with pytest.raises(CredentialsRefused):
            await asyncio.wait_for(Bench(broken.server).worker.run(), 5)


# --- Redis, load, observers


async def test_takes_rooms_while_redis_refuses() -> None:
    async with running() as (bench, server):
        bench.leases.refusing = True
        assert (await server.offer("one")).available
        await bench.observing("one")
        assert len(server.registrations) == 1


async def test_a_redis_that_does_not_answer_delays_no_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(keys: object) -> list[str | None]:
        await asyncio.get_running_loop().create_future()
        return []

    async with running() as (bench, server):
        monkeypatch.setattr(bench.leases, "holders", hang)
        started_s = asyncio.get_running_loop().time()
        assert (await server.offer("one")).available
        assert asyncio.get_running_loop().time() - started_s < 2


async def test_a_load_that_cannot_be_measured_ends_no_room() -> None:
    async with running() as (bench, server):
        await observing_one(bench, server)

        def fail() -> float:
            raise OSError(24, "Too many open files")

        bench.worker._load = fail
        await server.until(lambda: len(server.registrations) >= 3)
        bench.worker._load = bench.load
        await server.offer("two")
        await bench.observing("one", "two")
        assert bench.observer.left == []


class Panic(BaseException):
    """What a panic of a native library looks like."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("of a secret \udcff name"),
        Panic("secret"),
        ExceptionGroup("secret", [KeyError("secret"), OSError(5, "secret")]),
        asyncio.CancelledError("secret"),
        TimeoutError(),
        CredentialsRefused("LiveKit refused the token of a room"),
        RecursionError("secret"),
    ],
)
async def test_whatever_an_observer_raises_ends_its_room_alone(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as (bench, server):
        await observing_one(bench, server)
        observe = bench.observer.observe

        async def fail(assignment: Assignment) -> None:
            if assignment.room == "bad":
                raise error
            await observe(assignment)

        bench.observer.observe = fail  # type: ignore[method-assign]
        await server.offer("bad")
        await server.until(lambda: "AJ_1" in server.ended)
        await server.offer("two")
        await bench.observing("one", "two")
        assert bench.observer.left == []
        assert len(server.registrations) == 1
        assert "secret" not in server.ended["AJ_1"].error
    assert "secret" not in caplog.text


async def test_a_repeated_termination_does_not_interrupt_the_leaving() -> None:
    async with running() as (bench, server):
        left = asyncio.Event()

        async def leave_slowly(assignment: Assignment) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await asyncio.sleep(0.2)
                left.set()

        bench.observer.observe = leave_slowly  # type: ignore[method-assign]
        await server.offer("one")
        await server.until(lambda: "AJ_0" in server.running)
        for _ in range(5):
            await server.terminate("AJ_0")
            await asyncio.sleep(0.02)
        await server.until(lambda: "AJ_0" in server.ended)
        assert left.is_set()


async def test_draining_insists_on_observers_that_do_not_leave(caplog: pytest.LogCaptureFixture) -> None:
    async with agent_server() as (server, address):
        bench = Bench(address)

        async def never_leave(assignment: Assignment) -> None:
            for _ in range(4):  # as many waits in the leaving
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    continue

        bench.observer.observe = never_leave  # type: ignore[method-assign]
        run = asyncio.create_task(bench.worker.run())
        await server.until(lambda: bool(server.statuses))
        await server.offer("one")
        await server.until(lambda: "AJ_0" in server.running)
        async with asyncio.timeout(5):
            await bench.worker.drain()
            await run
        assert "1 observations did not leave" in caplog.text


async def test_an_assignment_during_the_drain_is_given_back() -> None:
    async with running() as (bench, server):
        bench.worker._state = WorkerState.DRAINING
        job = server.job("one")
        await server.assign(agent.JobAssignment(job=job, token="a token"))
        await server.until(lambda: job.id in server.ended)
        assert bench.worker.rooms == ()


async def test_logs_name_no_room(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sidecar")
    async with running() as (bench, server):
        await server.offer("secret-room")
        await bench.observing("secret-room")
        await server.offer("secret-room")
        bench.observer.end("secret-room", ValueError("secret-room"))
        await server.until(lambda: "AJ_0" in server.ended)
        await server.assign(agent.JobAssignment(job=server.job("secret-room"), url="secret-room"))
        await server.until(lambda: "AJ_2" in server.ended)
    assert len([each for each in caplog.records if each.name.startswith("sidecar")]) >= 3
    assert "secret-room" not in caplog.text
