"""Webhooks over HTTP, signed as the LiveKit server signs them."""

import base64
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import jwt
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
        async with self.client.post("/webhooks/livekit", data=_bytes(body), headers=headers) as response:
            return response.status

    def forged(self) -> float:
        labels = {"stage": "webhook", "reason": "forged"}
        return self.telemetry.registry.get_sample_value("sidecar_dropped_total", labels) or 0.0


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with made.client:
        yield made


def _bytes(body: str) -> bytes:
    """UTF-8, and bytes that are not."""
    return body.encode(errors="surrogateescape")


def event(kind: str, room: str = "daily 🙂") -> str:
    return json.dumps({"event": kind, "room": {"sid": "RM_1", "name": room}, "aFieldOfTomorrow": 1}, ensure_ascii=False)


def sign(body: str, secret: str = SERVER.api_secret, ttl_s: float = 60) -> str:
    digest = base64.b64encode(hashlib.sha256(_bytes(body)).digest()).decode()
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


@pytest.mark.parametrize(
    "claims",
    [
        {"sha256": 5},
        {"sha256": ["a"]},
        {"sha256": "\u00fc"},
        {"video": 5},
        {"attributes": 5},
        {"roomConfig": "secret-room"},
    ],
)
async def test_a_token_with_odd_claims_is_refused(bench: Bench, claims: dict[str, object]) -> None:
    token = jwt.encode({"iss": SERVER.api_key, "exp": time.time() + 60, **claims}, SERVER.api_secret, "HS256")
    assert await bench.post("{}", token) == 401


async def test_a_token_that_is_not_text_is_refused(bench: Bench) -> None:
    assert await bench.post("{}", "\udcff\udcfe") == 401


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        '{"event": 1}',
        '{"room": 5}',
        "null",
        "\udcff",
        '{"event": "room_started", "room": {"name": "secret \\ud800"}}',
        '{"createdAt": "secret"}',
        "[" * 100_000,
    ],
)
async def test_a_signed_body_that_cannot_be_read_is_a_bad_request(
    bench: Bench, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sidecar")
    assert await bench.post(body, sign(body)) == 400
    assert bench.woken == []
    assert "secret" not in caplog.text
