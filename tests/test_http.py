import asyncio
import json

import aiohttp
import pytest

from sidecar.demo.servers import free_port
from sidecar.errors import ConfigurationError
from sidecar.http import serve_http
from sidecar.telemetry import Telemetry


async def get(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_readiness_follows_the_checks():
    port, checks = free_port(), {"models": "ok", "livekit": "failed", "redis": "ok"}
    async with serve_http("127.0.0.1", port, telemetry=Telemetry(), checks=lambda: checks):
        assert (await get(port, "/healthz"))[0] == 200
        assert (await get(port, "/readyz"))[0] == 503
        checks.update(livekit="ok", redis="degraded")
        status, body = await get(port, "/readyz")
        assert status == 200
        assert '"redis": "degraded"' in body
        assert "sidecar_latency_seconds_bucket" in (await get(port, "/metrics"))[1]


async def test_failing_tasks_are_named_and_degrade():
    port, down = free_port(), {"drift": "OSError"}
    async with serve_http("127.0.0.1", port, telemetry=Telemetry(), checks=dict, failing=lambda: down):
        status, body = await get(port, "/readyz")
        assert status == 200
        assert json.loads(body) == {"ready": True, "checks": {"tasks": "degraded"}, "failing_tasks": down}
        down.clear()
        assert json.loads((await get(port, "/readyz"))[1])["checks"] == {"tasks": "ok"}


async def test_a_port_in_use_is_named():
    port = free_port()
    async with serve_http("127.0.0.1", port, telemetry=Telemetry(), checks=dict):
        with pytest.raises(ConfigurationError, match="SIDECAR_HTTP"):
            async with serve_http("127.0.0.1", port, telemetry=Telemetry(), checks=dict):
                pass


async def test_a_request_that_breaks_off_does_not_delay_the_end():
    class Receiver:
        async def receive(self, request):
            await request.read()

    port = free_port()
    started_s = asyncio.get_running_loop().time()
    async with serve_http("127.0.0.1", port, telemetry=Telemetry(), checks=dict, webhooks=Receiver()):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /webhooks/livekit HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.1)
    assert asyncio.get_running_loop().time() - started_s < 5
    writer.close()
