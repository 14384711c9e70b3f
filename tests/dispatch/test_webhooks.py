"""Webhooks over HTTP, signed as the LiveKit server signs them."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from livekit import api

from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.dispatch.webhooks import Webhooks
from sidecar.telemetry import Telemetry

SERVER = LiveKitServer("ws://127.0.0.1", "devkey", "a secret of at least thirty-two bytes")


class Bench:
    def __init__(self) -> None:
        self.woken: list[str] = []
        self.telemetry = Telemetry()
        application = web.Application()
        webhooks = Webhooks(SERVER, self.woken.append, self.telemetry)
        application.router.add_post("/webhooks/livekit", webhooks.receive)
        self.client = TestClient(TestServer(application))

    async def post(self, body: str, token: str | None) -> int:
        headers = {"Content-Type": "application/webhook+json"} | ({} if token is None else {"Authorization": token})
        async with self.client.post("/webhooks/livekit", data=body.encode(), headers=headers) as response:
            return response.status

    def forged(self) -> float:
        labels = {"stage": "webhook", "reason": "forged"}
        return self.telemetry.registry.get_sample_value("sidecar_dropped_total", labels) or 0.0


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with made.client:
        yield made


def event(kind: str, room: str = "daily 🙂") -> str:
    return json.dumps({"event": kind, "room": {"sid": "RM_1", "name": room}, "aFieldOfTomorrow": 1}, ensure_ascii=False)


def sign(body: str, secret: str = SERVER.api_secret, ttl_s: float = 60) -> str:
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    return api.AccessToken(SERVER.api_key, secret).with_sha256(digest).with_ttl(timedelta(seconds=ttl_s)).to_jwt()


@pytest.mark.parametrize("kind", ["room_started", "participant_joined"])
async def test_what_begins_wakes_the_watcher(bench: Bench, kind: str) -> None:
    body = event(kind)
    assert await bench.post(body, sign(body)) == 200
    assert bench.woken == ["daily 🙂"]


@pytest.mark.parametrize("kind", ["room_finished", "participant_left", "track_published", "of_tomorrow"])
async def test_what_ends_does_not(bench: Bench, kind: str) -> None:
    body = event(kind)
    assert await bench.post(body, sign(body)) == 200
    assert bench.woken == []


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(None, id="unsigned"),
        pytest.param("not a token", id="nonsense"),
        pytest.param(sign(event("room_started"), secret="another secret of thirty-two bytes"), id="another key"),
        pytest.param(sign(event("room_started", room="another")), id="another body"),
        pytest.param(sign(event("room_started"), ttl_s=-600), id="expired"),
        pytest.param(api.AccessToken(SERVER.api_key, SERVER.api_secret).to_jwt(), id="a token for something else"),
    ],
)
async def test_a_forged_webhook_is_refused_and_counted(bench: Bench, token: str | None) -> None:
    assert await bench.post(event("room_started"), token) == 401
    assert bench.woken == []
    assert bench.forged() == 1


@pytest.mark.parametrize("body", ["", "{", '{"event": 1}'])
async def test_a_signed_body_that_cannot_be_read_is_a_bad_request(bench: Bench, body: str) -> None:
    assert await bench.post(body, sign(body)) == 400
    assert bench.woken == []
