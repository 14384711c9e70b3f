"""The edge to the Redis client. The store itself is tested on a real Redis."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis.exceptions

from sidecar.dispatch.lease import redis_errors, room_key
from sidecar.errors import CredentialsRefused, SidecarError, Unavailable
from tests.fakes.clock import settle


def test_keys_carry_raw_room_names() -> None:
    assert room_key("team a/ö 🙂 {x}") == "engagement:lease:team a/ö 🙂 {x}"


@pytest.mark.parametrize(
    ("raised", "translated"),
    [
        (redis.exceptions.ConnectionError("gone"), Unavailable),
        (redis.exceptions.TimeoutError(), Unavailable),
        (redis.exceptions.BusyLoadingError("loading"), Unavailable),
        (redis.exceptions.ReadOnlyError("a replica"), Unavailable),
        (ConnectionRefusedError(), Unavailable),
        (redis.exceptions.AuthenticationError("WRONGPASS"), CredentialsRefused),
        (redis.exceptions.NoPermissionError("NOPERM"), CredentialsRefused),
    ],
)
async def test_errors_are_translated(raised: Exception, translated: type[SidecarError]) -> None:
    with pytest.raises(translated, match=r"^Redis"):
        async with redis_errors():
            raise raised


async def swallow() -> None:
    """What `asyncio.wait_for` does on Python 3.11 when the result comes together with a cancellation."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        return


async def swallow_and_fail() -> None:
    await swallow()
    raise redis.exceptions.ConnectionError("gone")


@pytest.mark.parametrize("call", [swallow, swallow_and_fail])
async def test_a_cancellation_that_the_client_loses_is_raised_after_all(call: Callable[[], Awaitable[None]]) -> None:
    async def translated() -> None:
        async with redis_errors():
            await call()

    task = asyncio.create_task(translated())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cleaning_up_while_cancelled_is_no_new_cancellation() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            async with redis_errors():
                await asyncio.sleep(0)
            cleaned = True

    task = asyncio.create_task(work())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned
