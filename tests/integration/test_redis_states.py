"""A real Redis that answers, but refuses: events wait in the spool, the reason is logged once, and none is lost."""

import asyncio
import logging
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, MasterDownError

from sidecar.clock import SystemClock
from sidecar.demo.install import redis_binary
from sidecar.demo.servers import RedisProcess
from sidecar.dispatch.lease import RedisLeases
from sidecar.errors import Unavailable
from sidecar.publish.redis import connect, stream_key
from tests.integration.redis_servers import MovingName, Talker, open_sink, sequences, until_spooled

pytestmark = pytest.mark.integration

ROOM = "team room/Ω"
NOWHERE = ("127.0.0.1", 1)


@dataclass(frozen=True)
class State:
    """A state of Redis that refuses writes."""

    enter: Callable[[Redis], Awaitable[object]]
    leave: Callable[[Redis], Awaitable[object]]
    says: str


def config(name: str, value: str) -> Callable[[Redis], Awaitable[object]]:
    return lambda redis: redis.config_set(name, value)


async def without_password(redis: Redis) -> None:
    await redis.acl_setuser("default", enabled=True, nopass=True)


async def become_replica(redis: Redis) -> None:
    await redis.replicaof(*NOWHERE)


async def lose_master(redis: Redis) -> None:
    await redis.config_set("replica-serve-stale-data", "no")
    await redis.replicaof(*NOWHERE)


async def become_master(redis: Redis) -> None:
    await redis.replicaof("NO", "ONE")


async def ask_password(redis: Redis) -> None:
    await redis.config_set("requirepass", "secret")
    await redis.client_kill_filter(_type="normal", skipme=True)


async def allow_one_client(redis: Redis) -> None:
    await redis.config_set("maxclients", "1")
    await redis.client_kill_filter(_type="normal", skipme=True)


STATES = {
    "OOM": State(config("maxmemory", "1"), config("maxmemory", "0"), "out of memory"),
    "READONLY": State(become_replica, become_master, "read-only replica"),
    "MASTERDOWN": State(lose_master, become_master, "replica"),
    "NOREPLICAS": State(config("min-replicas-to-write", "1"), config("min-replicas-to-write", "0"), "few replicas"),
    "NOAUTH": State(ask_password, without_password, "asks for a password"),
    "NOPERM": State(
        lambda redis: redis.execute_command("ACL", "SETUSER", "default", "-xadd"),
        lambda redis: redis.execute_command("ACL", "SETUSER", "default", "+xadd"),
        "lacks a right",
    ),
    "NOPERM-channel": State(
        lambda redis: redis.execute_command("ACL", "SETUSER", "default", "resetchannels"),
        lambda redis: redis.execute_command("ACL", "SETUSER", "default", "allchannels"),
        "lacks a right",
    ),
    "maxclients": State(allow_one_client, config("maxclients", "100"), "too many clients"),
}


@pytest.mark.parametrize("name", STATES)
async def test_events_wait_until_it_takes_them_again(name, redis_server, tmp_path, caplog):
    state = STATES[name]
    caplog.set_level(logging.INFO, "sidecar")
    async with Redis.from_url(redis_server.url, single_connection_client=True, protocol=2) as control:
        async with open_sink(redis_server.url, tmp_path) as (sink, telemetry):
            talker = Talker(sink, ROOM)
            talker.say(3)
            assert await sequences(control, ROOM, 3) == [1, 2, 3]
            await state.enter(control)
            talker.say(200)
            await until_spooled(telemetry, 200)
            assert not sink.connected
            await asyncio.sleep(0.5)  # several attempts
            await state.leave(control)
            talker.say(1)
            assert await sequences(control, ROOM, 204) == list(range(1, 205))
            assert sink.connected
        assert telemetry.lost._value.get() == 0
    reasons = [record.getMessage() for record in caplog.records if "events wait" in record.getMessage()]
    assert len(reasons) == len(set(reasons)) <= 2  # the end of a connection may be noted first
    assert state.says in reasons[-1]
    assert [record.getMessage() for record in caplog.records].count("redis: reachable") == 1
    assert ROOM not in caplog.text


needs_redis_7 = pytest.mark.skipif(
    "v=6." in subprocess.run([redis_binary(), "--version"], check=True, capture_output=True, text=True).stdout,
    reason="older servers cannot be brought into this state by their settings; `make servers` installs Redis 7",
)


@needs_redis_7
async def test_a_disk_that_cannot_save(tmp_path):
    """MISCONF: a folder is in the way of the dump."""
    dump = tmp_path / "redis" / "dump.rdb"
    dump.parent.mkdir()
    with RedisProcess({"dir": str(dump.parent), "save": "3600 1"}) as process:
        dump.mkdir()
        async with (
            Redis.from_url(process.url, protocol=2) as control,
            open_sink(process.url, tmp_path / "spool") as (sink, telemetry),
        ):
            await saved(control, "err")
            talker = Talker(sink, ROOM)
            talker.say(5)
            await until_spooled(telemetry, 5)
            dump.rmdir()
            await saved(control, "ok")
            assert await sequences(control, ROOM, 5) == [1, 2, 3, 4, 5]
            assert telemetry.lost._value.get() == 0


async def saved(redis, result):
    """A background save with this result."""
    async with asyncio.timeout(10):
        while (await redis.info("persistence"))["rdb_last_bgsave_status"] != result:
            await redis.bgsave()
            while (await redis.info("persistence"))["rdb_bgsave_in_progress"]:
                await asyncio.sleep(0.02)


@needs_redis_7
async def test_a_server_that_is_loading(tmp_path, caplog):
    """A replica that gets the data of its master, slowly."""
    slowly = {"key-load-delay": "700", "loading-process-events-interval-bytes": "1024"}
    with RedisProcess({"repl-diskless-sync-delay": "0"}) as master, RedisProcess(slowly) as process:
        async with Redis.from_url(master.url) as redis, redis.pipeline() as pipeline:
            for number in range(3000):
                pipeline.set(f"key {number}", b"x" * 2000)
            await pipeline.execute()
        async with Redis.from_url(process.url) as control, open_sink(process.url, tmp_path) as (sink, telemetry):
            await control.replicaof("127.0.0.1", master.port)
            talker = Talker(sink, ROOM)
            async with asyncio.timeout(20):
                while "loading its data" not in caplog.text:
                    talker.say(1)
                    await asyncio.sleep(0.05)
                await until_it_answers(control)
                await become_master(control)
            talker.say(20)
            assert await sequences(control, ROOM, talker.said) == list(range(1, talker.said + 1))
            assert telemetry.lost._value.get() == 0


async def until_it_answers(redis):
    while True:
        try:
            await redis.get("key")
        except (BusyLoadingError, MasterDownError):
            await asyncio.sleep(0.1)
        else:
            return


async def test_after_a_failover_the_name_leads_to_the_new_master(redis_server, tmp_path):
    """The connection to the old master, which is a replica now, would stay open for ever."""
    with RedisProcess() as new:
        async with (
            MovingName(redis_server.port) as name,
            open_sink(name.url, tmp_path) as (sink, telemetry),
            connect(redis_server.url) as old_redis,
            connect(new.url) as new_redis,
        ):
            talker = Talker(sink, ROOM)
            talker.say(3)
            assert await sequences(old_redis, ROOM, 3) == [1, 2, 3]
            await new_redis.restore(stream_key(ROOM), 0, await old_redis.dump(stream_key(ROOM)))
            name.target_port = new.port
            await become_replica(old_redis)
            talker.say(50)
            assert await sequences(new_redis, ROOM, 53) == list(range(1, 54))
            assert telemetry.lost._value.get() == 0


async def test_leases_follow_a_failover(redis_server):
    with RedisProcess() as new:
        async with MovingName(redis_server.port) as name, connect(name.url) as redis:
            leases = RedisLeases(redis)
            assert await leases.claim("engagement:lease:demo", "me", 6) == "me"
            async with connect(redis_server.url) as old_redis:
                name.target_port = new.port
                await become_replica(old_redis)
                with pytest.raises(Unavailable, match="replica"):
                    await leases.claim("engagement:lease:demo", "me", 6)
            assert await leases.claim("engagement:lease:demo", "me", 6) == "me"


async def test_a_lease_of_another_type_is_taken_over(redis_server):
    async with connect(redis_server.url) as redis:
        await redis.rpush("engagement:lease:demo", "x")
        leases = RedisLeases(redis)
        assert await leases.holders(["engagement:lease:demo"]) == [None]
        await leases.release("engagement:lease:demo", "me")
        assert await leases.claim("engagement:lease:demo", "me", 6) == "me"
        assert await leases.holders(["engagement:lease:demo"]) == ["me"]


async def test_closing_while_redis_hangs_ends_soon_with_everything_spooled(redis_server, tmp_path):
    async with Redis.from_url(redis_server.url) as control:
        sink_context = open_sink(redis_server.url, tmp_path)
        sink, telemetry = await sink_context.__aenter__()
        talker = Talker(sink, ROOM)
        await control.execute_command("CLIENT", "PAUSE", 6000, "ALL")
        talker.say(1000)
        started = SystemClock().monotonic()
        await sink_context.__aexit__(None, None, None)
        assert SystemClock().monotonic() - started < 6
        assert telemetry.spooled._value.get() == 1000
        assert telemetry.lost._value.get() == 0


async def test_an_idle_sink_knows_whether_redis_takes_writes(tmp_path):
    """Without events to send, `/readyz` would otherwise show what was true at the last one."""
    with RedisProcess() as server:
        async with open_sink(server.url, tmp_path) as (sink, _):
            server.stop()
            await until(lambda: not sink.connected)
            server.start()
            await until(lambda: sink.connected)
            async with Redis.from_url(server.url) as redis:
                await become_replica(redis)
                await until(lambda: not sink.connected)
                await become_master(redis)
                await until(lambda: sink.connected)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.05)
