"""The proxy of the fault kit."""

import asyncio
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from tests.faults.proxy import FaultyProxy


class EchoServer:
    """Answers each line with the same line; remembers the lines."""

    def __init__(self):
        self.lines = []

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                self.lines.append(line)
                writer.write(line)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def echo():
    echo = EchoServer()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()


@pytest.fixture
async def proxy(echo):
    async with FaultyProxy("127.0.0.1", echo.port) as proxy:
        yield proxy


@asynccontextmanager
async def client(proxy):
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)

    async def ask(data, timeout_s=5.0):
        writer.write(data)
        return await asyncio.wait_for(reader.readline(), timeout_s)

    try:
        yield ask
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def gone(ask, data=b"x\n"):
    """Whether the connection was closed or reset."""
    try:
        return await ask(data) == b""
    except ConnectionError:
        return True


async def test_it_forwards(proxy, echo):
    async with client(proxy) as ask:
        assert await ask(b"hello\n") == b"hello\n"
    assert proxy.accepted == 1


async def test_drop_closes_and_refuses_until_healed(proxy):
    async with client(proxy) as ask:
        assert await ask(b"a\n") == b"a\n"
        proxy.drop()
        assert await gone(ask)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(proxy.host, proxy.port)
    proxy.heal()
    async with client(proxy) as ask:
        assert await ask(b"b\n") == b"b\n"


async def test_sever_closes_and_accepts(proxy):
    async with client(proxy) as ask:
        await ask(b"a\n")
        proxy.sever()
        assert await gone(ask)
    async with client(proxy) as ask:
        assert await ask(b"b\n") == b"b\n"


async def test_vanish_never_answers_and_healing_closes_what_lost_bytes(proxy, echo):
    proxy.vanish()
    async with client(proxy) as ask:
        with pytest.raises(TimeoutError):
            await ask(b"a\n", 0.1)
        assert echo.lines == []
        proxy.heal()
        assert await gone(ask)


async def test_delay_holds_answers_back_and_ends_early_when_healed(proxy):
    loop = asyncio.get_running_loop()
    proxy.delay(0.1)
    async with client(proxy) as ask:
        began = loop.time()
        assert await ask(b"a\n") == b"a\n"
        assert loop.time() - began >= 0.1
        proxy.delay(30)
        loop.call_later(0.05, proxy.heal)
        assert await ask(b"b\n") == b"b\n"


async def test_truncate_cuts_in_the_middle_of_an_answer(proxy):
    async with client(proxy) as ask:
        assert await ask(b"abc\n") == b"abc\n"
        proxy.truncate(6)
        assert await ask(b"abc\n") == b"abc\n"
        assert await ask(b"defg\n") == b"de"


@pytest.mark.parametrize("forward", [False, True])
async def test_rubbish_instead_of_the_answer(proxy, echo, forward):
    proxy.rubbish(b"<html>\n", forward=forward)
    async with client(proxy) as ask:
        assert await ask(b"a\n") == b"<html>\n"
        await asyncio.sleep(0.05)
        assert echo.lines == ([b"a\n"] if forward else [])
        proxy.heal()
        assert await gone(ask)


@pytest.mark.parametrize("after", [False, True])
async def test_cut_at_a_marker(proxy, echo, after):
    proxy.cut_mid_transaction(b"EXEC", after=after)
    async with client(proxy) as ask:
        assert await ask(b"MULTI\n") == b"MULTI\n"
        assert await gone(ask, b"SET\nEXEC\n")
    assert proxy.cuts == 1
    assert echo.lines == ([b"MULTI\n", b"SET\n", b"EXEC\n"] if after else [b"MULTI\n", b"SET\n"])
    async with client(proxy) as ask:
        assert await ask(b"EXEC\n") == b"EXEC\n"


async def test_a_marker_in_two_pieces_is_found(proxy, echo):
    proxy.cut_mid_transaction(b"EXEC")
    async with client(proxy) as ask:
        assert await ask(b"a\nEX") == b"a\n"
        assert await gone(ask, b"EC\n")
    assert echo.lines == [b"a\n", b"EX"]


async def test_a_target_that_is_away_closes_the_connection(echo):
    async with FaultyProxy("127.0.0.1", 1) as proxy, client(proxy) as ask:
        assert await gone(ask)


async def test_nothing_is_left_behind(echo):
    before = asyncio.all_tasks()
    async with FaultyProxy("127.0.0.1", echo.port) as proxy, client(proxy) as ask:
        await ask(b"a\n")
        assert proxy.connections == 1
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)
    assert proxy.connections == 0


async def test_http_requests_are_answered_by_a_broken_proxy(proxy, echo):
    proxy.http(502, b"<html>Bad Gateway</html>", "text/html", match="/twirp/")
    async with aiohttp.ClientSession() as session:
        url = f"http://{proxy.host}:{proxy.port}/twirp/livekit.RoomService/ListRooms"
        for _ in range(2):
            async with session.post(url, data=b"x" * 200_000) as response:
                assert (response.status, response.content_type) == (502, "text/html")
                assert await response.read() == b"<html>Bad Gateway</html>"
    assert proxy.answered == 2
    async with client(proxy) as ask:
        assert await ask(b"GET /agent HTTP/1.1\r\n\r\n") == b"GET /agent HTTP/1.1\r\n"
