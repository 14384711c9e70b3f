"""A `sidecar worker` in a process of its own, with its log in a file."""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from sidecar.demo.servers import LOOPBACK, TETHER, free_port
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.errors import Unavailable

_READY_WITHIN_S: Final = 120.0
_DRAINED_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.2
_LAST_LINES: Final = 12


class WorkerProcess:
    """A running worker."""

    def __init__(self, process: Process, http_url: str, log: Path) -> None:
        self.http_url = http_url
        """Where `/readyz` and `/metrics` are."""
        self.log = log
        """Where it writes; deleted in the end unless an error told of it."""
        self._told = False
        self._process = process

    async def ready(self) -> None:
        """Return once models are loaded and LiveKit knows the worker. Raises `Unavailable` with its last words."""
        ending = asyncio.create_task(self.ended())
        try:
            async with asyncio.timeout(_READY_WITHIN_S), aiohttp.ClientSession() as session:
                while not await self._answers(session):
                    await asyncio.wait((ending,), timeout=_POLL_S)
                    if ending.done():
                        ending.result()
        except TimeoutError:
            raise Unavailable(self._with_log(f"the worker is not ready after {_READY_WITHIN_S:.0f} s")) from None
        finally:
            ending.cancel()

    async def ended(self) -> None:
        """Raises `Unavailable` with its last words when it ends by itself; never returns."""
        code = await self._process.wait()
        raise Unavailable(self._with_log(f"the worker ended with exit code {code}"))

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()

    def missed(self, what: str) -> Unavailable:
        """The error to raise where the worker lives but did not do its part."""
        return Unavailable(self._with_log(what))

    async def drain(self) -> None:
        """Let it leave its rooms, and end it if it does not. Idempotent."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _DRAINED_WITHIN_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def tidy(self) -> None:
        """Delete the log unless an error told of it. Idempotent."""
        if not self._told:
            self.log.unlink(missing_ok=True)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.http_url}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _with_log(self, said: str) -> str:
        self._told = True
        lines = self.log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"{said}; the last lines of {self.log}:", *(f"  {line}" for line in lines)])


@asynccontextmanager
async def running_worker(server: LiveKitServer, redis_url: str, state: Path) -> AsyncIterator[WorkerProcess]:
    """A worker with a state folder of its own, drained when the context ends."""
    address = f"{LOOPBACK}:{free_port()}"
    environment: Mapping[str, str] = {
        **os.environ,
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
        "REDIS_URL": redis_url,
        "SIDECAR_HTTP": address,
        "SIDECAR_STATE": str(state),
    }
    with tempfile.NamedTemporaryFile(prefix="sidecar-demo-", suffix=".log", delete=False) as output:
        process = await asyncio.create_subprocess_exec(
            *TETHER, sys.executable, "-m", "sidecar.cli", "worker",
            stdin=DEVNULL, stdout=output, stderr=output, env=environment,
        )  # fmt: skip
    worker = WorkerProcess(process, f"http://{address}", Path(output.name))
    try:
        yield worker
    finally:
        await worker.drain()
        worker.tidy()
