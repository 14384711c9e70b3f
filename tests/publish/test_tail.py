"""Reading a room back from a Redis that holds foreign things, or that answers something else."""

import asyncio
import logging

import pytest

from sidecar.errors import ConfigurationError, CredentialsRefused
from sidecar.publish.tail import follow
from sidecar.redis.connect import connect
from tests.fakes.clock import VirtualClock
from tests.redis.answering import answering_server, word


def bulk(value):
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def array(*items):
    return b"*%d\r\n" % len(items) + b"".join(items)


def entry(number, *fields):
    return array(bulk(b"%d-0" % number), array(*map(bulk, fields)))


def stream(*entries):
    """Answers to XREAD: these entries once, then none."""
    left = [array(array(bulk(b"engagement:demo:log"), array(*entries)))]
    return lambda request: (left.pop() if left else b"*-1\r\n") + word(request)


async def read(answer, count, clock=None):
    async with answering_server(answer) as server, connect(server.url) as redis:
        events = follow(redis, "demo", "start", clock or VirtualClock())
        async with asyncio.timeout(5):
            found = [await anext(events) for _ in range(count)]
        await events.aclose()
        return found, server


async def test_foreign_entries_are_skipped_and_counted(caplog):
    answer = stream(
        entry(1, b"event", b'{"n":1}'),
        entry(2, b"other", b'{"n":2}'),
        entry(3, b"event", b"\xff\xfe rubbish"),
        entry(3, b"event", b'{"data": "\xff"}'),
        entry(4, b"event", b"[1]"),
        entry(5, b"event", b'{"n": 5'),
        entry(6),
        array(bulk(b"7-0"), b"*-1\r\n"),
        entry(8, b"x", b"y", b"event", b'{"n":8,\r\n "text":"two lines"}'),
    )
    found, _ = await read(answer, 2)
    assert found == [b'{"n":1}', b'{"n":8,   "text":"two lines"}']


async def test_the_count_of_foreign_entries_is_logged(caplog):
    answer = stream(entry(1, b"other", b"x"), entry(2, b"other", b"x"), entry(3, b"event", b"{}"))
    async with answering_server(answer) as server, connect(server.url) as redis:
        events = follow(redis, "demo", "start", VirtualClock())
        async with asyncio.timeout(5):
            await anext(events)
            waiting = asyncio.ensure_future(anext(events))
            while "skipped 2 entries" not in caplog.text:
                await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await events.aclose()


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (b"-WRONGTYPE Operation against a key\r\n", ConfigurationError, "something else than a stream"),
        (b"-NOPERM no\r\n", CredentialsRefused, "NOPERM"),
        (b"-NOAUTH Authentication required.\r\n", CredentialsRefused, "password"),
        (b"-WRONGPASS no\r\n", CredentialsRefused, "wrong"),
    ],
)
async def test_what_waiting_does_not_cure_is_an_error(answer, error, says):
    with pytest.raises(error, match=says):
        await read(lambda request: answer + word(request), 1)


@pytest.mark.parametrize(
    "rubbish",
    [b"-LOADING Redis is loading\r\n", b"-UNBLOCKED gone\r\n", b":1\r\n", array(b":1\r\n"), stream(b":3\r\n")(b"")],
)
async def test_everything_else_is_tried_again_and_logged_once(rubbish, caplog):
    caplog.set_level(logging.INFO, "sidecar")
    clock = VirtualClock()
    answers = [rubbish, rubbish, rubbish]
    healthy = stream(entry(1, b"event", b"{}"))

    def answer(request):
        return answers.pop() + word(request) if answers else healthy(request)

    async with answering_server(answer) as server, connect(server.url) as redis:
        events = follow(redis, "demo", "start", clock)
        reading = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(5):
            while not reading.done():
                await clock.advance(1)
                await asyncio.sleep(0.01)
        assert reading.result() == b"{}"
        await events.aclose()
    assert [record.getMessage()[:12] for record in caplog.records] == ["trying again", "Redis answer"]
