"""LiveKit's API behind a broken proxy: whatever is answered is one of three errors of the sidecar."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from livekit import api

from sidecar.dispatch import livekit_server
from sidecar.dispatch.livekit_server import LiveKitServer, RoomGone, is_refusal, livekit_api
from sidecar.dispatch.rooms import LiveKitRooms, RoomService
from sidecar.errors import CredentialsRefused, Unavailable
from tests.dispatch.broken_api import Answer, BrokenApi, answer, broken_api, hanging, json, redirect, rubbish, trickling

ROOM = "secret-room"
CALLS: dict[str, Callable[[RoomService], Awaitable[object]]] = {
    "rooms": lambda rooms: rooms.rooms(),
    "attendance": lambda rooms: rooms.attendance(ROOM),
    "dispatches": lambda rooms: rooms.dispatches(ROOM),
    "create_dispatch": lambda rooms: rooms.create_dispatch(ROOM),
    "delete_dispatch": lambda rooms: rooms.delete_dispatch(ROOM, "AD_1"),
    "remove_observer": lambda rooms: rooms.remove_observer(ROOM),
}


@pytest.fixture
async def broken() -> AsyncIterator[BrokenApi]:
    async with broken_api() as made:
        yield made


@pytest.fixture
async def rooms(broken: BrokenApi) -> AsyncIterator[RoomService]:
    async with livekit_api(broken.server) as client:
        yield LiveKitRooms(client, broken.server, "engagement-sidecar")


@pytest.mark.parametrize("call", CALLS)
async def test_right_answers(rooms: RoomService, call: str) -> None:
    await CALLS[call](rooms)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", rubbish())
async def test_rubbish_is_unavailable(broken: BrokenApi, rooms: RoomService, call: str, name: str) -> None:
    broken.everything = rubbish()[name]
    with pytest.raises(Unavailable) as caught:
        await CALLS[call](rooms)
    for private in (ROOM, "AD_1", "nginx", "eyJ", broken.server.api_secret):
        assert private not in str(caught.value)
    assert len(broken.requests) == 1  # neither repeated nor redirected


@pytest.mark.parametrize("name", ["page as protobuf", "list with 500", "null with 500", "text with 404", "truncated"])
async def test_a_client_without_the_middleware_is_covered(broken: BrokenApi, name: str) -> None:
    broken.everything = rubbish()[name]
    server = broken.server
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client:
        with pytest.raises(Unavailable):
            await LiveKitRooms(client, server, "engagement-sidecar").rooms()


@pytest.mark.parametrize("given", [hanging, trickling])
async def test_no_call_waits_for_ever(broken: BrokenApi, monkeypatch: pytest.MonkeyPatch, given: Answer) -> None:
    monkeypatch.setattr(livekit_server, "ANSWER_WITHIN_S", 0.2)
    broken.everything = given
    async with livekit_api(broken.server) as client, asyncio.timeout(3):
        with pytest.raises(Unavailable):
            await LiveKitRooms(client, broken.server, "engagement-sidecar").rooms()


async def test_a_server_that_is_not_there() -> None:
    async with broken_api() as broken:
        server = broken.server
    async with livekit_api(server) as client:
        with pytest.raises(Unavailable):
            await LiveKitRooms(client, server, "engagement-sidecar").rooms()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_sends_nothing_to_another_address(broken: BrokenApi, rooms: RoomService, status: int) -> None:
    async with broken_api() as other:
        broken.everything = redirect(other.server.url.replace("ws", "http") + "/twirp", status)
        with pytest.raises(Unavailable, match="redirects"):
            await rooms.attendance(ROOM)
        assert other.requests == []


@pytest.mark.parametrize(
    "given",
    [
        answer("invalid API key: devkey", 401, "text/plain; charset=utf-8"),
        answer("", 401, "application/octet-stream"),
        json('{"code":"unauthenticated","msg":"permissions denied"}', 401),
        json('{"code":"permission_denied","msg":"no"}', 403),
    ],
)
@pytest.mark.parametrize("call", CALLS)
async def test_a_refusal(broken: BrokenApi, rooms: RoomService, call: str, given: Answer) -> None:
    broken.everything = given
    with pytest.raises(CredentialsRefused) as caught:
        await CALLS[call](rooms)
    assert "devkey" not in str(caught.value)


async def test_only_the_server_itself_says_that_a_room_is_gone(broken: BrokenApi, rooms: RoomService) -> None:
    broken.everything = json('{"code":"not_found","msg":"participant does not exist"}', 404)
    with pytest.raises(RoomGone):
        await rooms.remove_observer(ROOM)
    assert not (await rooms.attendance(ROOM)).people


async def test_a_room_whose_name_is_not_utf_8(broken: BrokenApi, rooms: RoomService) -> None:
    broken.answers["ListRooms"] = answer(b"\x0a\x04\x12\x02\xff\xff")
    with pytest.raises(Unavailable):
        await rooms.rooms()


async def test_a_dispatch_without_an_id_was_not_made(broken: BrokenApi, rooms: RoomService) -> None:
    broken.answers["CreateDispatch"] = answer(b"")
    with pytest.raises(Unavailable):
        await rooms.create_dispatch(ROOM)


@pytest.mark.parametrize(
    ("status", "kind", "refused"),
    [
        (401, "text/plain; charset=utf-8", True),
        (403, "application/json", True),
        (401, "", True),
        (401, "text/html", False),
        (403, "Text/HTML; charset=utf-8", False),
        (404, "text/plain", False),
        (500, "application/json", False),
    ],
)
def test_what_is_a_refusal(status: int, kind: str, refused: bool) -> None:
    assert is_refusal(status, kind) is refused


def test_the_address_of_the_websocket() -> None:
    assert LiveKitServer("https://h/base/", "k", "s").agent_url() == "wss://h/base/agent"
