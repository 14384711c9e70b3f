"""`/healthz`, `/readyz`, `/metrics` and LiveKit's webhooks."""

import errno
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Literal

from aiohttp import web

from sidecar.dispatch.webhooks import Webhooks
from sidecar.errors import ConfigurationError
from sidecar.telemetry import Telemetry

_SHUTDOWN_S: Final = 1.0
"""Longest wait for requests under way when the process ends."""

Check = Literal["ok", "degraded", "failed"]


@asynccontextmanager
async def serve_http(
    host: str,
    port: int,
    *,
    telemetry: Telemetry,
    checks: Callable[[], Mapping[str, Check]],
    failing: Callable[[], Mapping[str, str]] = dict,
    webhooks: Webhooks | None = None,
) -> AsyncIterator[None]:
    """Serve until the context is left. A process without a failed check is ready, a degraded one too.

    `failing`: error type by name of each background task that failed lately; it makes the check `tasks` degraded.
    Raises `ConfigurationError` naming SIDECAR_HTTP where the port cannot be had.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"healthy": True})

    async def readyz(_: web.Request) -> web.Response:
        down = dict(failing())
        results = {**checks(), "tasks": "degraded" if down else "ok"}
        ready = "failed" not in results.values()
        body = {"ready": ready, "checks": results, "failing_tasks": down}
        return web.json_response(body, status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=telemetry.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    application = web.Application(client_max_size=1 << 20)
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    if webhooks is not None:
        application.add_routes([web.post("/webhooks/livekit", webhooks.receive)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error.strerror})"
            raise ConfigurationError(f"SIDECAR_HTTP: {host}:{port} {reason}; choose another") from error
        yield
    finally:
        await runner.cleanup()
