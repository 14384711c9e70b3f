"""TLS and users with few rights, on a real Redis."""

import asyncio
import logging

import pytest
from redis.asyncio import Redis

from sidecar.clock import SystemClock
from sidecar.dispatch.lease import RedisLeases
from sidecar.errors import ConfigurationError, CredentialsRefused
from sidecar.publish.redis import check_credentials, connect
from sidecar.publish.tail import follow
from tests.dispatch.contracts import check_lease_store
from tests.integration.redis_servers import (
    Talker,
    certificates,
    open_sink,
    redis_cluster,
    sequences,
    tls_redis,
    until_spooled,
)

pytestmark = pytest.mark.integration

# What the README names as the least rights.
WORKER = "+ping +multi +exec +xadd +expire +publish +zadd +eval +get +set +del ~engagement:* &engagement:*"
READER = "+ping +xread +xrevrange ~engagement:*"
CLUSTER = "+cluster|slots +command"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    with tls_redis(tmp_path_factory.mktemp("tls")) as server:
        yield server


async def test_tls_with_a_ca(tls, tmp_path):
    _, url, ca = tls
    secure = f"{url}?ssl_ca_certs={ca}"
    async with open_sink(secure, tmp_path) as (sink, telemetry), connect(secure) as redis:
        assert sink.connected
        Talker(sink, "demo").say(200)
        assert await sequences(redis, "demo", 200) == list(range(1, 201))
        await check_lease_store(RedisLeases(redis), asyncio.sleep)
        assert telemetry.spooled._value.get() == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [("", "its certificate is not trusted"), ("?ssl_ca_certs={other}", "its certificate is not trusted")],
)
async def test_a_certificate_that_is_not_trusted(tls, tmp_path, caplog, options, says):
    _, url, _ = tls
    other, *_ = certificates(tmp_path / "other")
    async with open_sink(url + options.format(other=other), tmp_path / "spool") as (sink, telemetry):
        assert not sink.connected
        Talker(sink, "demo").say(3)
        await until_spooled(telemetry, 3)
    assert says in caplog.text


async def test_a_port_without_tls(tls, tmp_path, caplog):
    process, _, ca = tls
    url = process.url.replace("redis://", "rediss://") + f"?ssl_ca_certs={ca}"
    async with open_sink(url, tmp_path) as (sink, telemetry):
        Talker(sink, "demo").say(3)
        await until_spooled(telemetry, 3)
    assert "must speak TLS" in caplog.text


async def test_a_tls_port_without_tls(tls, tmp_path):
    _, url, _ = tls
    async with open_sink(url.replace("rediss://", "redis://"), tmp_path) as (sink, telemetry):
        Talker(sink, "demo").say(3)
        await until_spooled(telemetry, 3)


async def test_the_least_rights_of_a_worker(redis_server, tmp_path, caplog):
    await make_user(redis_server.url, "worker", WORKER)
    url = redis_server.url.replace("redis://", "redis://worker:p%40ss@")
    async with open_sink(url, tmp_path) as (sink, telemetry), connect(url) as redis:
        assert sink.connected
        Talker(sink, "demo").say(200)
        async with connect(redis_server.url) as all_rights:
            assert await sequences(all_rights, "demo", 200) == list(range(1, 201))
            assert await all_rights.zscore("engagement:rooms", "demo")
        await check_lease_store(RedisLeases(redis), asyncio.sleep)
    assert telemetry.spooled._value.get() == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_least_rights_of_a_reader(redis_server, tmp_path):
    await make_user(redis_server.url, "reader", READER)
    async with open_sink(redis_server.url, tmp_path) as (sink, _):
        talker = Talker(sink, "demo")
        talker.say(1)
        async with connect(redis_server.url.replace("redis://", "redis://reader:p%40ss@")) as redis:
            for start in ("start", "now"):
                events = follow(redis, "demo", start, SystemClock())
                task = asyncio.ensure_future(anext(events))
                await asyncio.sleep(0.3)
                talker.say(1)
                async with asyncio.timeout(5):
                    assert b'"sequence"' in await task
                await events.aclose()


async def test_the_least_rights_on_a_cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    with redis_cluster(folder) as process:
        await make_user(process.url.replace("+cluster", ""), "worker", f"{WORKER} {CLUSTER}")
        url = process.url.replace("://", "://worker:p%40ss@")
        async with open_sink(url, tmp_path / "spool") as (sink, telemetry), connect(url) as redis:
            assert sink.connected
            Talker(sink, "demo").say(10)
            await check_lease_store(RedisLeases(redis), asyncio.sleep)
            async with Redis.from_url(process.url.replace("+cluster", "")) as all_rights:
                assert await sequences(all_rights, "demo", 10) == list(range(1, 11))
        assert telemetry.spooled._value.get() == 0


@pytest.mark.parametrize("user", ["worker:wrong@", "nobody:x@", ":wrong@"])
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_refused_credentials(redis_server, user, scheme, tmp_path):
    await make_user(redis_server.url, "worker", WORKER)
    url = redis_server.url.replace("redis://", f"{scheme}://{user}")
    async with connect(redis_server.url) as redis:
        await redis.config_set("requirepass", "secret")
    async with connect(url) as redis:
        with pytest.raises(CredentialsRefused, match="user or the password is wrong"):
            await check_credentials(redis)
    with pytest.raises(CredentialsRefused):
        async with open_sink(url, tmp_path):
            pass


async def test_no_credentials_where_some_are_needed(redis_server):
    async with connect(redis_server.url) as redis:
        await redis.config_set("requirepass", "secret")
    async with connect(redis_server.url) as redis:
        with pytest.raises(CredentialsRefused, match="asks for a password"):
            await check_credentials(redis)


async def test_a_reader_without_rights_is_refused(redis_server):
    await make_user(redis_server.url, "reader", "+ping +xread ~other:*")
    async with connect(redis_server.url.replace("redis://", "redis://reader:p%40ss@")) as redis:
        with pytest.raises(CredentialsRefused, match="NOPERM"):
            await anext(follow(redis, "demo", "start", SystemClock()))


async def make_user(url, name, rights):
    async with Redis.from_url(url) as redis:
        await redis.execute_command("ACL", "SETUSER", name, "on", ">p@ss", "resetchannels", *rights.split())


async def test_a_database_that_the_server_does_not_have_is_a_mistake_in_the_settings(redis_server):
    async with connect(redis_server.url.rpartition("/")[0] + "/99") as redis:
        with pytest.raises(ConfigurationError, match="database"):
            await check_credentials(redis)
