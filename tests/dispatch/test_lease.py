"""What leases make of Redis' answers. The store itself is tested on a real Redis."""

import pytest

from sidecar.dispatch.lease import RedisLeases, room_key
from sidecar.errors import CredentialsRefused, Unavailable
from sidecar.redis.connect import connect
from tests.redis.answering import answering_server, word


def test_keys_carry_raw_room_names() -> None:
    assert room_key("team a/ö 🙂 {x}") == "engagement:lease:team a/ö 🙂 {x}"


async def test_leases_are_read_one_by_one_in_one_exchange() -> None:
    def answer(request: bytes) -> bytes:
        return b"$1\r\na\r\n$-1\r\n-WRONGTYPE of another kind\r\n" + word(request)

    async with answering_server(answer) as server, connect(server.url) as redis:
        assert await RedisLeases(redis).holders(["one", "two", "three"]) == ["a", None, None]
        assert len(server.received) == 1
        assert server.received[0].count(b"GET") == 3
        assert b"MGET" not in server.received[0]


async def test_no_keys_cost_no_exchange() -> None:
    async with connect("redis://127.0.0.1:1") as redis:
        assert await RedisLeases(redis).holders([]) == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-READONLY replica\r\n", Unavailable),
        (b"-NOPERM no\r\n", CredentialsRefused),
        (b":1\r\n", Unavailable),
        (b"$-1\r\n", Unavailable),
    ],
)
async def test_a_claim_that_is_not_answered_is_an_error(answer: bytes, error: type[Exception]) -> None:
    async with answering_server(lambda request: answer + word(request)) as server, connect(server.url) as redis:
        with pytest.raises(error, match=r"^Redis"):
            await RedisLeases(redis).claim("key", "me", 6)
