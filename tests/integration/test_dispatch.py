"""Attachment on the real server and Redis: worker processes that join, are killed, drain."""

import asyncio
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from livekit import api, rtc
from redis.asyncio import Redis

from sidecar.demo.servers import LiveKitProcess, RedisProcess, free_port
from sidecar.dispatch.lease import RedisLeases, room_key
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.dispatch.rooms import LiveKitRooms
from sidecar.dispatch.webhooks import Webhooks
from sidecar.errors import CredentialsRefused, Unavailable
from sidecar.telemetry import Telemetry
from tests.dispatch.contracts import check_lease_store, check_one_of_many_claims_wins, check_room_service
from tests.integration.dispatch_worker import room_options

pytestmark = pytest.mark.integration

AGENT = "engagement-sidecar"


class Fleet:
    """The servers, worker processes by name, and what an outsider sees of them."""

    def __init__(self, livekit: LiveKitServer, redis: RedisProcess) -> None:
        self.livekit = livekit
        self.redis = redis
        self.workers: dict[str, subprocess.Popen[str]] = {}

    def start(self, *names: str) -> None:
        """Start workers and wait until each is registered."""
        command = [sys.executable, "-m", "tests.integration.dispatch_worker"]
        server = self.livekit
        for name in names:
            self.workers[name] = subprocess.Popen(
                [*command, name, server.url, server.api_key, server.api_secret, self.redis.url],
                stdout=subprocess.PIPE,
                text=True,
            )
        for name in names:
            output = self.workers[name].stdout
            assert output is not None
            with selectors.DefaultSelector() as selector:  # not `select`: ten rooms of sockets pass its 1024
                selector.register(output, selectors.EVENT_READ)
                assert selector.select(60), f"{name} did not register"
            assert output.readline() == "registered\n"

    def signal(self, name: str, number: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        worker = self.workers.pop(name)
        with worker:
            worker.send_signal(number)
            try:
                return worker.wait(30)
            finally:
                worker.kill()

    def stop(self) -> None:
        for name in list(self.workers):
            self.signal(name, signal.SIGTERM)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[api.LiveKitAPI]:
        async with api.LiveKitAPI(self.livekit.url, self.livekit.api_key, self.livekit.api_secret) as client:
            yield client

    async def observers(self, *rooms: str) -> dict[str, str]:
        """The worker that holds each room's lease, for rooms in which the observer is, hidden."""
        async with Redis.from_url(self.redis.url) as redis, self.client() as client:
            found: dict[str, str] = {}
            for room, holder in zip(rooms, await redis.mget([room_key(room) for room in rooms]), strict=True):
                listing = await client.room.list_participants(api.ListParticipantsRequest(room=room))
                present = [each for each in listing.participants if each.identity == AGENT]
                if holder is not None and present and present[0].permission.hidden:
                    found[room] = holder.decode()
            return found


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Servers of this module's own: its watchers attach every room they see."""
    with LiveKitProcess() as livekit, RedisProcess() as redis:
        made = Fleet(livekit.server, redis)
        yield made
        made.stop()


@asynccontextmanager
async def people_in(server: LiveKitServer, *rooms: str) -> AsyncIterator[None]:
    """One person joins each room, and leaves at the end."""
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as joining:
            for name in rooms:
                room = rtc.Room()
                grants = api.VideoGrants(room_join=True, room=name)
                token = api.AccessToken(server.api_key, server.api_secret).with_identity("anna").with_grants(grants)
                joining.create_task(room.connect(server.url, token.to_jwt(), room_options()))
                stack.push_async_callback(room.disconnect)
        yield


async def until(true: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Wait until it is true. The times hold while there are cores for all; a starved machine gets more."""
    deadline_s = time.monotonic() + within_s * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
    while not await true():
        assert time.monotonic() < deadline_s, f"not within {within_s} s"
        await asyncio.sleep(0.1)


async def test_rooms_of_before_and_new_rooms_are_attached_in_time(fleet: Fleet) -> None:
    async def attached(room: str) -> bool:
        return await fleet.observers(room) == {room: "worker-a"}

    async with people_in(fleet.livekit, "before / ä 🙂"):
        fleet.start("worker-a")
        await until(lambda: attached("before / ä 🙂"), within_s=5)
        async with people_in(fleet.livekit, "new"):
            await until(lambda: attached("new"), within_s=5)
            async with fleet.client() as client:
                dispatches = await client.agent_dispatch.list_dispatch("new")
            assert [each.agent_name for each in dispatches if each.agent_name] == [AGENT]


async def test_two_workers_share_ten_rooms_and_replace_each_other(fleet: Fleet) -> None:
    rooms = [f"room {number}" for number in range(10)]

    async def attached_by(*workers: str) -> bool:
        found = await fleet.observers(*rooms)
        return len(found) == len(rooms) and set(found.values()) <= set(workers)

    fleet.start("worker-b")
    async with people_in(fleet.livekit, *rooms):
        await until(lambda: attached_by("worker-a", "worker-b"), within_s=10)  # all ten began at once
        shares = Counter((await fleet.observers(*rooms)).values())
        assert set(shares) == {"worker-a", "worker-b"}, shares

        fleet.start("worker-c")
        assert fleet.signal("worker-a", signal.SIGKILL) == -signal.SIGKILL
        await until(lambda: attached_by("worker-b", "worker-c"), within_s=15)

        assert fleet.signal("worker-b", signal.SIGTERM) == 0
        await until(lambda: attached_by("worker-c"), within_s=15)


async def test_redis_restarted_costs_no_observation(fleet: Fleet) -> None:
    if not fleet.workers:
        fleet.start("worker-c")

    async def observer_sid() -> str | None:
        async with fleet.client() as client:
            listing = await client.room.list_participants(api.ListParticipantsRequest(room="steady"))
        return next((each.sid for each in listing.participants if each.identity == AGENT), None)

    async def leased() -> bool:
        return set(await fleet.observers("steady")) == {"steady"}

    async with people_in(fleet.livekit, "steady"):
        await until(leased, within_s=5)
        before = await observer_sid()
        fleet.redis.stop()
        async with people_in(fleet.livekit, "meanwhile"):  # rooms are attached without Redis, too
            async with fleet.client() as client:

                async def present() -> bool:
                    listing = await client.room.list_participants(api.ListParticipantsRequest(room="meanwhile"))
                    return any(each.identity == AGENT for each in listing.participants)

                await until(present, within_s=6)
            fleet.redis.start()
            await until(leased, within_s=5)
            await asyncio.sleep(8)  # longer than a lease: nobody was replaced in error
        assert await observer_sid() == before


async def test_leases_in_redis(fleet: Fleet) -> None:
    async with Redis.from_url(fleet.redis.url) as redis:
        for holder in await redis.keys("engagement:*"):
            await redis.delete(holder)
        await check_lease_store(RedisLeases(redis), asyncio.sleep)
        await check_one_of_many_claims_wins(RedisLeases(redis))


async def test_redis_that_is_not_there_is_unavailable(fleet: Fleet) -> None:
    async with Redis.from_url("redis://127.0.0.1:1/0") as redis:
        with pytest.raises(Unavailable, match="Redis cannot be reached"):
            await RedisLeases(redis).holders(["engagement:watcher"])


async def test_wrong_redis_password_is_refused(fleet: Fleet) -> None:
    async with Redis.from_url(fleet.redis.url.replace("redis://", "redis://nobody:wrong@")) as redis:
        with pytest.raises(CredentialsRefused, match="Redis refused"):
            await RedisLeases(redis).holders(["engagement:watcher"])


async def test_rooms_and_webhooks_of_the_real_server() -> None:
    woken: list[str] = []
    port = free_port()
    process = LiveKitProcess({"webhook": {"api_key": "devkey", "urls": [f"http://127.0.0.1:{port}/hook"]}})

    async def heard() -> bool:
        return "one" in woken

    with process:
        server = process.server
        async with (
            receiving(Webhooks(server, woken.append, Telemetry()), port),
            api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client,
            people_in(server, "one"),
        ):
            await until(heard, within_s=5)
            observer = rtc.Room()
            grants = api.VideoGrants(room_join=True, room="one", hidden=True, can_publish=False)
            token = api.AccessToken(server.api_key, server.api_secret).with_identity(AGENT).with_grants(grants)
            await observer.connect(server.url, token.to_jwt(), room_options())
            await check_room_service(LiveKitRooms(client, server, AGENT), "one")
            await observer.disconnect()
        async with api.LiveKitAPI(server.url, "devkey", "another secret of thirty-two bytes") as client:
            with pytest.raises(CredentialsRefused, match="API key"):
                await LiveKitRooms(client, server, AGENT).rooms()
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await LiveKitRooms(client, server, AGENT).rooms()


@asynccontextmanager
async def receiving(webhooks: Webhooks, port: int) -> AsyncIterator[None]:
    """An HTTP server that takes webhooks."""
    application = web.Application()
    application.router.add_post("/hook", webhooks.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await runner.cleanup()
