"""LiveKit's HTTP API behind a broken proxy: right answers by default, and any rubbish instead."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from google.protobuf.message import Message
from livekit import api
from livekit.protocol import agent, models

from sidecar.dispatch.livekit_server import LiveKitServer
from tests.dispatch.agent_server import API_KEY, API_SECRET

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE: Final = "<!doctype html><title>502 Bad Gateway</title><h1>nginx</h1>"
AGENT: Final = "agent"
"""Name of the websocket among the methods; without an answer of its own it is 503."""


def answer(body: bytes | str, status: int = 200, kind: str = "application/protobuf") -> Answer:
    """Always the same answer."""

    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(
            body=body.encode() if isinstance(body, str) else body, status=status, headers={"Content-Type": kind}
        )

    return give


def message(made: Message) -> Answer:
    """A right answer."""
    return answer(made.SerializeToString())


def page(status: int = 200) -> Answer:
    """A proxy's page."""
    return answer(PAGE, status, "text/html; charset=utf-8")


def json(body: str, status: int) -> Answer:
    return answer(body, status, "application/json")


def redirect(location: str, status: int = 307) -> Answer:
    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": location})

    return give


async def truncated(request: web.Request) -> web.StreamResponse:
    """Half of what was announced, then the end."""
    response = web.StreamResponse(headers={"Content-Type": "application/protobuf", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"\x0a\x20half")
    assert request.transport is not None
    request.transport.close()
    return response


async def hanging(_: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def trickling(request: web.Request) -> web.StreamResponse:
    """Answers a byte now and then, for ever."""
    response = web.StreamResponse(headers={"Content-Type": "application/protobuf"})
    await response.prepare(request)
    while True:
        await response.write(b"\x0a")
        await asyncio.sleep(0.02)


async def agent_socket(request: web.Request) -> web.StreamResponse:
    """A websocket that registers workers and wants nothing of them."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for received in socket:
        if agent.WorkerMessage.FromString(received.data).HasField("register"):
            registered = agent.RegisterWorkerResponse(worker_id="AW_1")
            await socket.send_bytes(agent.ServerMessage(register=registered).SerializeToString())
    return socket


def rubbish() -> dict[str, Answer]:
    """Answers that are not LiveKit's, by name. Each means: unavailable."""
    return {
        "page with 200": page(),
        "page with 404": page(404),
        "page with 403": page(403),
        "page with 401": page(401),
        "page with 429": page(429),
        "page with 500": page(500),
        "page with 503": page(503),
        "page as protobuf": answer(PAGE),
        "text with 404": answer("404 page not found\n", 404, "text/plain; charset=utf-8"),
        "list with 500": json("[]", 500),
        "text with 500": json('"text"', 500),
        "null with 500": json("null", 500),
        "number with 400": json("7", 400),
        "list with 404": json("[]", 404),
        "list with 401": json("[]", 401),
        "odd fields with 500": json('{"code": ["a"], "msg": {"b": 1}, "meta": 5}', 500),
        "half of an object": json('{"code": "not_fo', 500),
        "deep": json("[" * 100_000, 500),
        "object with 200": json('{"code": "unavailable", "msg": "no"}', 200),
        "spaces as JSON": json("    ", 200),
        "empty page": answer("", 200, "text/html"),
        "empty with 204": answer("", 204),
        "empty with 500": answer("", 500),
        "no type": answer("", 200, "application/octet-stream"),
        "half a message": answer(b"\x0a\xff\x01half"),
        "not JSON": answer(b"\xff\xfe\xfd", 502, "application/json; charset=no-such-charset"),
        "truncated": truncated,
        "moved": redirect("/elsewhere", 301),
        "redirected nowhere": redirect("http://[::1", 307),
        "not modified": answer("", 304),
    }


@dataclass
class BrokenApi:
    """The running server. `answers` by method name (`ListRooms`); `everything` answers the others."""

    server: LiveKitServer = field(default_factory=lambda: LiveKitServer("ws://nowhere", API_KEY, API_SECRET))
    everything: Answer | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Methods that were called, in order."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, number: int, method: str) -> None:
        """Wait until a method was called so many times more."""
        number += self.requests.count(method)
        while self.requests.count(method) < number:
            self.changed.clear()
            await self.changed.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        method = request.path.rpartition("/")[2]
        self.requests.append(method)
        self.changed.set()
        chosen = self.answers.get(method) or self.everything or _RIGHT.get(method) or answer("", 503)
        return await chosen(request)


@asynccontextmanager
async def broken_api(port: int = 0) -> AsyncIterator[BrokenApi]:
    """A server on the loopback interface."""
    application = web.Application()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    broken = BrokenApi()
    application.router.add_route("*", "/{path:.*}", broken.handle)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        broken.server = LiveKitServer(f"ws://127.0.0.1:{runner.addresses[0][1]}", API_KEY, API_SECRET)
        yield broken
    finally:
        await runner.cleanup()


def _dispatch() -> api.AgentDispatch:
    return api.AgentDispatch(id="AD_1", agent_name="engagement-sidecar", room="secret-room")


_RIGHT: Final[dict[str, Answer]] = {
    "ListRooms": message(api.ListRoomsResponse(rooms=[models.Room(name="secret-room")])),
    "ListParticipants": message(
        api.ListParticipantsResponse(participants=[models.ParticipantInfo(identity="secret-person")])
    ),
    "ListDispatch": message(api.ListAgentDispatchResponse(agent_dispatches=[])),
    "CreateDispatch": message(_dispatch()),
    "DeleteDispatch": message(_dispatch()),
    "RemoveParticipant": message(api.RemoveParticipantResponse()),
}
