"""Signed webhooks of the LiveKit server: they only bring the watcher's next look forward."""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import Final

import jwt
from aiohttp import web
from google.protobuf.json_format import Parse, ParseError
from livekit import api

from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.telemetry import Telemetry

_LEEWAY_S: Final = 60.0
"""Difference between the server's clock and ours that is allowed for."""
_BODY_WITHIN_S: Final = 5.0
WAKING_EVENTS: Final = frozenset({"room_started", "participant_joined"})

_log = logging.getLogger(__name__)


class Webhooks:
    """Receives `POST`s of the server that knows our key, and of nobody else."""

    def __init__(self, server: LiveKitServer, wake: Callable[[str], None], telemetry: Telemetry) -> None:
        """`wake` gets the name of each room in which something began."""
        self._server = server
        self._wake = wake
        self._telemetry = telemetry

    async def receive(self, request: web.Request) -> web.Response:
        """200 for a webhook, 401 for a forged one, 400 for one that cannot be read, 408 for one that breaks off."""
        try:
            async with asyncio.timeout(_BODY_WITHIN_S):
                body = await request.read()
        except TimeoutError:
            self._telemetry.dropped.labels("webhook", "incomplete").inc()
            return web.Response(status=408)
        if not self._is_signed(body, request.headers.get("Authorization", "")):
            self._telemetry.dropped.labels("webhook", "forged").inc()
            return web.Response(status=401)
        try:
            event = Parse(body, api.WebhookEvent(), ignore_unknown_fields=True)
        except (ParseError, UnicodeDecodeError) as error:
            self._telemetry.dropped.labels("webhook", "malformed").inc()
            _log.warning("a signed webhook cannot be read: %s", type(error).__name__)  # its text quotes the body
            return web.Response(status=400)
        if event.event in WAKING_EVENTS and event.room.name:
            self._wake(event.room.name)
        return web.Response(status=200)

    def _is_signed(self, body: bytes, token: str) -> bool:
        # `livekit.api.TokenVerifier` raises what it likes about claims of another shape.
        try:
            claims = jwt.decode(
                token,
                self._server.api_secret,
                algorithms=["HS256"],
                issuer=self._server.api_key,
                leeway=_LEEWAY_S,
                options={"require": ["exp"]},
            )
        except (jwt.PyJWTError, UnicodeEncodeError):
            return False
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
        return hmac.compare_digest(str(claims.get("sha256", "")).encode(errors="replace"), digest.encode())
