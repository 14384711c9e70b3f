"""The edge to the Redis client: only whole, aligned answers come through, and everything else is one of our errors."""

import asyncio
import random

import pytest
import redis.exceptions

from sidecar.errors import CredentialsRefused, SidecarError, Unavailable
from sidecar.redis.connect import connect
from sidecar.redis.exchange import Exchange, _lost_cancellation, check_credentials
from sidecar.redis.refusals import error_code, translated
from tests.fakes.clock import settle
from tests.redis.answering import answering_server, word

GET = ("GET", "key")

RUBBISH = [
    b"<html><body>502 Bad Gateway</body></html>\r\n",
    b"\xff\xfe\x00\r\n",
    b"$abc\r\n",
    b":12x\r\n",
    b"*2\r\n$1\r\na\r\n",
    b"*" + b"9" * 30 + b"\r\n",
    b"*" + b"9" * 5000 + b"\r\n",
    b"*1\r\n" * 3000 + b":1\r\n",
    b"$-5\r\nabc\r\n",
    b"\r\n",
    b"+OK\r\n+OK\r\n",
    b"+OK\r\n",
    b"",
    b"-\r\n-\r\n",
    b"-MOVED\r\n+OK\r\n",
    b"-MOVED x y\r\n+OK\r\n",
    b"-ASK\r\n+OK\r\n",
]


@pytest.mark.parametrize("rubbish", RUBBISH)
async def test_rubbish_is_unavailable_and_ends_the_connection(rubbish):
    async with answering_server(lambda _: rubbish) as server, connect(server.url) as client:
        exchange = Exchange(client, within_s=0.3)
        with pytest.raises(Unavailable, match=r"^Redis"):
            await exchange.ask("key", [GET])
        server.answer = lambda request: b"$2\r\nok\r\n" + word(request)
        assert await exchange.ask("key", [GET]) == [b"ok"]
        assert server.connections == 2


async def test_random_rubbish():
    generator = random.Random(20261125)
    pieces = [b"*", b"$", b":", b"+", b"-", b"\r\n", b"3", b"-1", b"x", b"\xff", b"OK", b"ERR ", b"0"]
    async with answering_server(lambda _: b"") as server, connect(server.url) as client:
        exchange = Exchange(client, within_s=0.02)
        for _ in range(150):
            rubbish = b"".join(generator.choices(pieces, k=generator.randrange(1, 30)))
            server.answer = lambda _, rubbish=rubbish: rubbish
            with pytest.raises(SidecarError):
                await exchange.ask("key", [GET])


async def test_an_answer_too_many_does_not_shift_later_ones():
    def two(request):
        return b"$3\r\none\r\n$3\r\ntwo\r\n" + word(request)

    async with answering_server(two) as server, connect(server.url) as client:
        exchange = Exchange(client, within_s=0.3)
        with pytest.raises(Unavailable):
            await exchange.ask("key", [GET])
        server.answer = lambda request: b"$5\r\nright\r\n" + word(request)
        assert await exchange.ask("key", [GET]) == [b"right"]


async def test_an_answer_that_comes_late_does_not_shift_later_ones():
    async with answering_server(lambda request: b"$3\r\none\r\n") as server, connect(server.url) as client:
        exchange = Exchange(client, within_s=0.2)
        with pytest.raises(Unavailable):
            await exchange.ask("key", [GET])
        server.answer = lambda request: b"$5\r\nright\r\n" + word(request)
        assert await exchange.ask("key", [GET]) == [b"right"]


async def test_an_interrupted_exchange_ends_its_connection():
    async with answering_server(lambda _: b"") as server, connect(server.url) as client:
        exchange = Exchange(client, within_s=5)
        asking = asyncio.create_task(exchange.ask("key", [GET]))
        while not server.received:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.answer = lambda request: b"$2\r\nok\r\n" + word(request)
        assert await exchange.ask("key", [GET]) == [b"ok"]
        assert server.connections == 2


@pytest.mark.parametrize(("answer", "connections"), [(b"-READONLY replica\r\n", 2), (b"-WRONGTYPE key\r\n", 1)])
async def test_after_an_error_that_another_server_would_not_give_the_name_is_looked_up_again(answer, connections):
    async with answering_server(lambda request: answer + word(request)) as server, connect(server.url) as client:
        exchange = Exchange(client)
        for _ in range(2):
            [error] = await exchange.ask("key", [GET])
            assert isinstance(error, redis.exceptions.ResponseError)
        assert server.connections == connections


async def test_a_slow_server_takes_no_longer_than_the_bound():
    async with answering_server(lambda _: b"+OK\r\n" * 200) as server, connect(server.url) as client:
        server.byte_delay_s = 0.02
        started = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match="no answer in time"):
            await Exchange(client, within_s=0.3).ask("key", [GET] * 100)
        assert asyncio.get_running_loop().time() - started < 1


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (redis.exceptions.ConnectionError("gone"), Unavailable),
        (redis.exceptions.TimeoutError(), Unavailable),
        (redis.exceptions.BusyLoadingError("loading", status_code="LOADING"), Unavailable),
        (redis.exceptions.ReadOnlyError("a replica", status_code="READONLY"), Unavailable),
        (redis.exceptions.ResponseError("MISCONF cannot save"), Unavailable),
        (redis.exceptions.InvalidResponse("Protocol Error"), Unavailable),
        (ConnectionRefusedError(), Unavailable),
        (TimeoutError(), Unavailable),
        (redis.exceptions.AuthenticationError("no", status_code="WRONGPASS"), CredentialsRefused),
        (redis.exceptions.AuthenticationError("no"), CredentialsRefused),
        (redis.exceptions.NoPermissionError("no", status_code="NOPERM"), CredentialsRefused),
    ],
)
def test_errors_are_translated(raised, expected):
    error = translated(raised)
    assert type(error) is expected
    assert str(error).startswith("Redis")


def test_what_a_server_says_is_not_quoted():
    said = redis.exceptions.ResponseError("NOPERM no access to 'engagement:secret room:log'")
    assert "secret" not in str(translated(said))
    assert "secret" not in str(translated(redis.exceptions.InvalidResponse("Protocol Error: b'secret'")))


def test_errors_within_scripts_of_an_old_redis():
    said = redis.exceptions.ResponseError(
        "Error running script (call to f_1): @user_script:4: @user_script: 4: -READONLY You can't write",
        status_code="ERR",
    )
    assert error_code(said) == "READONLY"


async def test_credentials_of_a_server_that_is_away_are_not_refused():
    async with connect("redis://127.0.0.1:1") as client:
        assert not await check_credentials(client)


async def swallow():
    """What `asyncio.wait_for` does on Python 3.11 when the result comes together with a cancellation."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        return


async def swallow_and_fail():
    await swallow()
    raise redis.exceptions.ConnectionError("gone")


@pytest.mark.parametrize("call", [swallow, swallow_and_fail])
async def test_a_cancellation_that_the_client_loses_is_raised_after_all(call):
    async def guarded():
        with _lost_cancellation():
            await call()

    task = asyncio.create_task(guarded())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cleaning_up_while_cancelled_is_no_new_cancellation():
    cleaned = False

    async def work():
        nonlocal cleaned
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            with _lost_cancellation():
                await asyncio.sleep(0)
            cleaned = True

    task = asyncio.create_task(work())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned
