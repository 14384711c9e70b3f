"""Logs and metrics of a real worker in a real call hold no names."""

from pathlib import Path

import aiohttp
import pytest

from sidecar.demo.cast import cast_member
from sidecar.demo.servers import RedisProcess
from sidecar.demo.worker import running_worker
from sidecar.dispatch.livekit_server import LiveKitServer
from tests.integration.subscriber import Subscriber
from tests.media_files import write_recording

pytestmark = pytest.mark.integration

ROOM, IDENTITY, WORDS = "zebrafinch room", "coelacanth", "ginkgo biloba"


async def test_a_call_leaves_no_names_in_log_and_metrics(
    livekit_server: LiveKitServer, redis_server: RedisProcess, tmp_path: Path
) -> None:
    clip = write_recording(tmp_path / "clip.mp4", 4.0, size=(640, 360))
    async with running_worker(livekit_server, redis_server.url, tmp_path / "state") as worker:
        await worker.ready()
        async with Subscriber(redis_server.url, ROOM) as subscriber:
            person = cast_member(
                livekit_server, ROOM, IDENTITY, media=clip, consent="face,voice,text", transcript=WORDS
            )
            async with person as member:
                await subscriber.until(lambda events: [e for e in events if e["data"].get("state") == "on"])
                await member.tell("consent everything")
                await subscriber.until(
                    lambda events: [e for e in events if e["data"].get("reason") == "consent_malformed"]
                )
            await subscriber.until(lambda events: [e for e in events if e["data"].get("change") == "left"])
        async with aiohttp.ClientSession() as session, session.get(f"{worker.http_url}/metrics") as response:
            published = await response.text()
        await worker.drain()
        logged = worker.log.read_text()
    assert "registered" in logged
    for secret in ("zebrafinch", IDENTITY, "ginkgo"):
        assert secret not in logged.lower()
        assert secret not in published.lower()
