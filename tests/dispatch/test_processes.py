"""`sidecar watch` and `sidecar worker` as processes, at a LiveKit whose API is behind a broken proxy."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.dispatch.broken_api import AGENT, Answer, BrokenApi, agent_socket, answer, broken_api, json, page, rubbish

WAIT_S = 60.0
REFUSED = answer("invalid API key: devkey", 401, "text/plain; charset=utf-8")


class Running:
    """A command under test."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    async def ended(self) -> int:
        """The exit code, once there is one."""
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()

    async def stopped(self) -> int:
        """End it as an operator does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    def log(self) -> str:
        return self._log.read_text()


@asynccontextmanager
async def running(command: str, broken: BrokenApi, folder: Path) -> AsyncIterator[Running]:
    """Start a command. Redis is away all the time."""
    environ = {
        **os.environ,
        "LIVEKIT_URL": broken.server.url,
        "LIVEKIT_API_KEY": broken.server.api_key,
        "LIVEKIT_API_SECRET": broken.server.api_secret,
        "REDIS_URL": "redis://127.0.0.1:1",
        "SIDECAR_HTTP": "127.0.0.1:0",
        "SIDECAR_STATE": str(folder / "state"),
    }
    log = folder / "log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar.cli", command, env=environ, stdout=written, stderr=written
        )
    try:
        yield Running(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answer_everything(broken: BrokenApi, given: Answer) -> None:
    broken.everything = given
    async with asyncio.timeout(WAIT_S):
        await broken.until(1, "ListRooms")


async def test_watch_outlives_any_answer(tmp_path: Path) -> None:
    async with broken_api() as broken, running("watch", broken, tmp_path) as watch:
        for method in ("ListParticipants", "ListDispatch"):  # inside a round
            broken.answers = {method: json("[]", 500)}
            async with asyncio.timeout(WAIT_S):
                await broken.until(2, method)
        broken.answers = {}
        for name in ("page with 200", "page with 404", "list with 500", "truncated"):
            await answer_everything(broken, rubbish()[name])
        assert watch.process.returncode is None
        broken.everything = None
        async with asyncio.timeout(WAIT_S):
            await broken.until(1, "CreateDispatch")
        assert await watch.stopped() == 0
        assert "Traceback" not in watch.log()
        assert "secret" not in watch.log()


@pytest.mark.parametrize("method", ["ListRooms", "ListParticipants", "ListDispatch", "CreateDispatch"])
async def test_watch_ends_with_3_when_it_is_refused(method: str, tmp_path: Path) -> None:
    async with broken_api() as broken:
        broken.answers[method] = REFUSED
        async with running("watch", broken, tmp_path) as watch:
            assert await watch.ended() == 3
            assert "refused the API key" in watch.log()
            assert "Traceback" not in watch.log()


async def test_a_worker_outlives_any_answer(tmp_path: Path) -> None:
    async with broken_api() as broken:
        broken.answers[AGENT] = agent_socket
        broken.everything = page()
        async with running("worker", broken, tmp_path) as worker:
            await answer_everything(broken, page())
            await answer_everything(broken, json("[]", 500))
            await answer_everything(broken, page(403))
            await answer_everything(broken, REFUSED)
            broken.everything = None
            for method in ("ListParticipants", "ListDispatch"):
                broken.answers[method] = json("null", 500)
                async with asyncio.timeout(WAIT_S):
                    await broken.until(2, method)
                del broken.answers[method]
            assert worker.process.returncode is None
            assert await worker.stopped() == 0
            assert "Traceback" not in worker.log()
            assert "secret" not in worker.log()


async def test_a_worker_waits_for_a_server_behind_a_broken_proxy(tmp_path: Path) -> None:
    async with broken_api() as broken:
        broken.everything = page(403)
        async with running("worker", broken, tmp_path) as worker:
            async with asyncio.timeout(WAIT_S):
                await broken.until(3, AGENT)
            assert worker.process.returncode is None
            broken.everything = REFUSED
            assert await worker.ended() == 3
            assert "Traceback" not in worker.log()
