"""The sink against a real Redis that comes and goes."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from sidecar.clock import SystemClock
from sidecar.errors import CredentialsRefused
from sidecar.publish.publisher import RoomPublisher
from sidecar.publish.redis import PublishOptions, RedisSink, channel_key, check_credentials, connect, stream_key
from sidecar.schema import RoomChange
from sidecar.supervisor import Supervisor
from sidecar.telemetry import Telemetry

pytestmark = pytest.mark.integration

ROOM = "team room/Ω"


@asynccontextmanager
async def opened(process, folder):
    telemetry, clock = Telemetry(), SystemClock()
    sink = RedisSink(
        connect(process.url),
        folder,
        PublishOptions(retry_s=0.1),
        clock=clock,
        telemetry=telemetry,
        supervisor=Supervisor(clock, telemetry),
    )
    async with sink, connect(process.url) as redis:
        yield sink, redis, telemetry


def say(publisher, count):
    for _ in range(count):
        publisher.publish(RoomChange(room=ROOM, change="attached"))


def publisher(sink):
    return RoomPublisher(ROOM, "e1", "w1", sink, SystemClock())


async def sequences(redis, at_least):
    """Those in the stream once it holds so many."""
    async with asyncio.timeout(10):
        while await redis.xlen(stream_key(ROOM)) < at_least:
            await asyncio.sleep(0.02)
    entries = await redis.xrange(stream_key(ROOM))
    return [int(json.loads(fields[b"event"])["sequence"]) for _, fields in entries]


async def test_stream_channel_rooms_and_expiry(redis_server, tmp_path):
    async with opened(redis_server, tmp_path) as (sink, redis, _):
        async with redis.pubsub() as listener:
            await listener.subscribe(channel_key(ROOM))
            await listener.get_message(timeout=5)
            say(publisher(sink), 1)
            heard = await listener.get_message(ignore_subscribe_messages=True, timeout=5)
        [(_, fields)] = await redis.xrange(stream_key(ROOM))
        assert heard["data"] == fields[b"event"]
        assert 86_000 < await redis.ttl(stream_key(ROOM)) <= 86_400
        assert await redis.zscore("engagement:rooms", ROOM) is not None


async def test_nothing_is_lost_or_reordered_while_redis_is_away(redis_server, tmp_path):
    async with opened(redis_server, tmp_path) as (sink, redis, telemetry):
        numbered = publisher(sink)
        redis_server.stop()
        say(numbered, 300)
        async with asyncio.timeout(10):
            while telemetry.spooled._value.get() < 300:
                await asyncio.sleep(0.02)
        redis_server.start()
        say(numbered, 5)
        assert await sequences(redis, 305) == list(range(1, 306))
        assert telemetry.lost._value.get() == 0


async def test_the_spool_outlives_the_sink(redis_server, tmp_path):
    redis_server.stop()
    async with opened(redis_server, tmp_path) as (sink, _, _):
        say(publisher(sink), 7)
    redis_server.start()
    async with opened(redis_server, tmp_path) as (_, redis, _):
        assert await sequences(redis, 7) == list(range(1, 8))


async def test_a_stream_key_of_another_type_leaves_its_room_the_channel(redis_server, tmp_path):
    async with opened(redis_server, tmp_path) as (sink, redis, telemetry), redis.pubsub() as listener:
        await listener.subscribe(channel_key("taken"))
        await listener.get_message(timeout=5)
        await redis.set(stream_key("taken"), "something else")
        RoomPublisher("taken", "e1", "w1", sink, SystemClock()).publish(RoomChange(room="taken", change="attached"))
        say(publisher(sink), 3)
        assert await sequences(redis, 3) == [1, 2, 3]
        assert await listener.get_message(ignore_subscribe_messages=True, timeout=5)
        assert telemetry.lost._value.get() == 0
        assert telemetry.dropped.labels("redis", "stream_refused")._value.get() == 1


async def test_an_index_of_another_type_loses_no_event(redis_server, tmp_path):
    async with opened(redis_server, tmp_path) as (sink, redis, telemetry):
        await redis.set("engagement:rooms", "something else")
        say(publisher(sink), 300)
        assert await sequences(redis, 300) == list(range(1, 301))
        assert telemetry.lost._value.get() == 0
        assert telemetry.dropped.labels("redis", "index_refused")._value.get() >= 1


async def test_wrong_credentials_are_told_from_absence(redis_server):
    async with connect(redis_server.url) as redis:
        await redis.config_set("requirepass", "secret")
    wrong = redis_server.url.replace("redis://", "redis://:wrong@")
    async with connect(wrong) as redis:
        with pytest.raises(CredentialsRefused):
            await check_credentials(redis)
    redis_server.stop()
    async with connect(redis_server.url) as redis:
        assert not await check_credentials(redis)
