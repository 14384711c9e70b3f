"""A real `sidecar worker` under measurement: its process, its metrics and what it publishes."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from sidecar.demo.servers import LOOPBACK, TETHER, free_port
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.errors import Unavailable

_READY_WITHIN_S: Final = 120.0
_DRAINED_WITHIN_S: Final = 20.0

Samples = Mapping[tuple[str, str], float]
"""Values of the metrics by name and labels, as in `("sidecar_dropped_total", "face/stale")`."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is ready."""

    process: Process
    redis: Redis
    address: str

    @property
    def pid(self) -> int:
        return self.process.pid

    async def stop(self) -> None:
        """Let it drain. Idempotent."""
        await _stop(self.process)

    async def metrics(self) -> Samples:
        """All samples of /metrics."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.address}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
            return {
                (one.name, "/".join(one.labels.values())): one.value for family in families for one in family.samples
            }

    async def newest_entry(self, room: str) -> str:
        """Where the room's stream of events ends now."""
        entries: list[Any] = await self.redis.xrevrange(f"engagement:{room}:log", count=1) or []
        return entries[0][0].decode() if entries else "0-0"

    async def estimates(self, room: str, after: str) -> list[dict[str, Any]]:
        """The `data` of the room's estimates behind an entry of its stream."""
        entries: list[Any] = await self.redis.xrange(f"engagement:{room}:log", min=f"({after}") or []
        events = [json.loads(fields[b"event"]) for _, fields in entries]
        return [event["data"] for event in events if event["type"] == "engagement.estimate.v1"]


@asynccontextmanager
async def worker(server: LiveKitServer, redis_url: str, state: Path) -> AsyncIterator[Worker]:
    """A worker until the context ends. Raises `Unavailable` with its last words where it does not get ready."""
    address = f"{LOOPBACK}:{free_port()}"
    environment = {
        **os.environ,
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
        "REDIS_URL": redis_url,
        "SIDECAR_HTTP": address,
        "SIDECAR_STATE": str(state),
    }
    log = state.with_suffix(".log")
    command = [*TETHER, sys.executable, "-m", "tests.load.named_threads", "worker"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=DEVNULL, stdout=output, stderr=STDOUT
        )
    try:
        if not await _ready(process, address):
            raise Unavailable(f"the worker did not get ready: {await asyncio.to_thread(log.read_text, 'utf-8')}")
        async with Redis.from_url(redis_url) as redis:
            yield Worker(process, redis, address)
    finally:
        await _stop(process)


async def _ready(process: Process, address: str) -> bool:
    deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
    async with aiohttp.ClientSession() as session:
        while asyncio.get_running_loop().time() < deadline and process.returncode is None:
            try:
                async with session.get(f"http://{address}/readyz") as answer:
                    if answer.status == 200:
                        return True
            except aiohttp.ClientError:
                pass  # not listening yet
            await asyncio.sleep(0.1)
    return False


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _DRAINED_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
