"""A cluster of one server, which refuses what a cluster of many refuses: keys of several slots in one command."""

import asyncio

import pytest
from redis.asyncio import Redis

from sidecar.clock import SystemClock
from sidecar.dispatch.lease import RedisLeases, room_key
from sidecar.errors import ConfigurationError
from sidecar.publish.redis import channel_key, check_credentials, connect, stream_key
from sidecar.publish.tail import follow
from sidecar.redis.exchange import Exchange
from tests.dispatch.contracts import check_lease_store, check_one_of_many_claims_wins
from tests.integration.redis_servers import Talker, open_sink, redis_cluster, sequences, until_ok, until_spooled

pytestmark = pytest.mark.integration

ROOMS = [f"room {number}/Ω {{x}}" for number in range(20)]


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    with redis_cluster(folder) as process:
        yield process


def single(process):
    return Redis.from_url(process.url.replace("+cluster", ""), protocol=2)


async def test_it_refuses_one_command_over_several_slots(cluster):
    """Why leases are read one by one and `engagement:rooms` is written apart."""
    async with connect(cluster.url) as redis:
        [error] = await Exchange(redis).ask("a", [("MGET", "a", "b")])
        assert str(error).startswith("Keys in request don't hash")


async def test_events_of_many_rooms(cluster, tmp_path):
    async with open_sink(cluster.url, tmp_path / "spool") as (sink, telemetry), single(cluster) as redis:
        assert sink.connected
        async with redis.pubsub() as listener:
            await listener.subscribe(channel_key(ROOMS[3]))
            await listener.get_message(timeout=5)
            talkers = [Talker(sink, room) for room in ROOMS]
            for _ in range(10):
                for talker in talkers:
                    talker.say(1)
            for room in ROOMS:
                assert await sequences(redis, room, 10) == list(range(1, 11))
            assert await listener.get_message(ignore_subscribe_messages=True, timeout=5)
        assert 86_000 < await redis.ttl(stream_key(ROOMS[0])) <= 86_400
        async with asyncio.timeout(5):
            while await redis.zcard("engagement:rooms") < len(ROOMS):
                await asyncio.sleep(0.02)
        assert telemetry.spooled._value.get() == telemetry.lost._value.get() == 0


async def test_events_wait_while_the_cluster_is_down(cluster, tmp_path):
    async with open_sink(cluster.url, tmp_path / "spool") as (sink, telemetry), single(cluster) as redis:
        talker = Talker(sink, "demo")
        talker.say(3)
        assert await sequences(redis, "demo", 3) == [1, 2, 3]
        slot = await redis.execute_command("CLUSTER", "KEYSLOT", "engagement:demo:log")
        await redis.execute_command("CLUSTER", "DELSLOTS", slot)  # CLUSTERDOWN
        talker.say(200)
        await until_spooled(telemetry, 200)
        assert not sink.connected
        await redis.execute_command("CLUSTER", "ADDSLOTS", slot)
        assert await sequences(redis, "demo", 203) == list(range(1, 204))
        assert telemetry.lost._value.get() == 0


async def test_a_cluster_that_is_away_at_the_start_and_restarted(cluster, tmp_path):
    cluster.stop()
    async with open_sink(cluster.url, tmp_path / "spool") as (sink, telemetry):
        assert not sink.connected
        talker = Talker(sink, "demo")
        talker.say(5)
        await until_spooled(telemetry, 5)
        cluster.start()  # its slots are in the folder's nodes.conf
        await asyncio.to_thread(until_ok, cluster)
        async with single(cluster) as redis:
            assert await sequences(redis, "demo", 5, within_s=20) == [1, 2, 3, 4, 5]


async def test_leases(cluster):
    async with connect(cluster.url) as redis:
        leases = RedisLeases(redis)
        await check_lease_store(leases, asyncio.sleep)
        await check_one_of_many_claims_wins(leases)
        keys = [room_key(room) for room in ROOMS]
        for key in keys[::2]:
            await leases.claim(key, f"holder of {key}", 5)
        assert await leases.holders(keys) == [
            f"holder of {key}" if number % 2 == 0 else None for number, key in enumerate(keys)
        ]


async def test_reading_back(cluster, tmp_path):
    async with open_sink(cluster.url, tmp_path / "spool") as (sink, _), connect(cluster.url) as redis:
        events = follow(redis, "demo", "start", SystemClock())
        Talker(sink, "demo").say(1)
        async with asyncio.timeout(5):
            assert b'"sequence":"1"' in await anext(events)
        await events.aclose()


async def test_one_server_is_no_cluster(redis_server):
    async with connect(redis_server.url.replace("redis://", "redis+cluster://")) as redis:
        with pytest.raises(ConfigurationError, match="is none: write redis://"):
            await check_credentials(redis)
