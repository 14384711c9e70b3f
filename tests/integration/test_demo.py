"""`sidecar demo` as people run it: it reads both people, ends by itself or when told to, and leaves nothing behind."""

import asyncio
import os
import re
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.demo import install
from sidecar.demo.show import run_demo

pytestmark = pytest.mark.integration

WITHIN_S = 240.0  # a loaded machine starts slowly


class Demo:
    """A running demo whose processes are known by a variable in their environment."""

    def __init__(self, process: Process, mark: str) -> None:
        self.process = process
        self._mark = mark.encode()
        self.output = ""

    async def said(self, pattern: str) -> None:
        """Read on until a line matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            while line := (await self.process.stdout.readline()).decode():
                self.output += line
                if re.search(pattern, line):
                    return
        pytest.fail(f"the demo ended without {pattern!r}:\n{self.output}")

    async def ended(self) -> int:
        """Its exit code, with all output read."""
        async with asyncio.timeout(WITHIN_S):
            rest, _ = await self.process.communicate()
        self.output += rest.decode()
        return self.process.returncode or 0

    def processes(self) -> dict[int, str]:
        """Commands of the demo's living processes, itself included."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended meanwhile
                continue
        return found


@asynccontextmanager
async def demo(folder: Path, *arguments: str) -> AsyncIterator[Demo]:
    """The command with the media that come with packages and `folder` for all its temporary files."""
    mark = f"DEMO_TEST={secrets.token_hex(8)}"
    name, value = mark.split("=")
    environment = {**os.environ, name: value, "TMPDIR": str(folder), "SIDECAR_DATA": str(folder / "none")}
    command = (sys.executable, "-m", "sidecar.cli", "demo", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=asyncio.subprocess.STDOUT, env=environment
    )
    running = Demo(process, mark)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def assert_nothing_is_left(ended: Demo, folder: Path) -> None:
    assert ended.processes() == {}
    assert list(folder.iterdir()) == []


async def test_it_ends_by_itself_having_read_both(tmp_path):
    async with demo(tmp_path, "--seconds", "12") as running:
        code = await running.ended()
        assert code == 0, running.output
        for identity in ("ada", "grace"):
            (row,) = re.findall(rf"│ {identity} +│ +(\d+) │", running.output)
            assert int(row) >= 6
        assert re.search(r"sequence: 1 to \d+ without holes", running.output)
        assert "room demo  0:12 of 0:12" in running.output
        assert re.search(r"Raw events: REDIS_URL=redis://\S+ \S+sidecar tail demo", running.output)
        assert_nothing_is_left(running, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_in_order_when_told_to(tmp_path, number):
    async with demo(tmp_path) as running:
        await running.said(r"ada: \w+ .*grace: (abstains|\w+ \d)")
        running.process.send_signal(number)
        assert await running.ended() == 0, running.output
        assert "without holes" in running.output
        assert_nothing_is_left(running, tmp_path)


async def test_a_worker_that_dies_is_told_with_its_last_words(tmp_path):
    async with demo(tmp_path) as running:
        await running.said(r"room demo")
        (worker,) = (pid for pid, command in running.processes().items() if command.endswith("sidecar.cli worker "))
        os.kill(worker, signal.SIGKILL)
        assert await running.ended() == 1
        (log,) = tmp_path.iterdir()
        assert f"the worker ended with exit code -9; the last lines of {log}" in running.output
        assert log.read_text().splitlines()[-1] in running.output
        assert running.processes() == {}


async def test_media_that_cannot_be_read_end_it_at_once(tmp_path):
    async with demo(tmp_path, "--media", "absent.mp4") as running:
        assert await running.ended() == 2
        assert "sidecar: cannot read the recording absent.mp4: No such file or directory" in running.output
        assert_nothing_is_left(running, tmp_path)


async def test_without_a_livekit_server_a_recording_is_read_instead(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(install, "SERVERS", tmp_path / "servers")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # so that Go cannot be had either
    monkeypatch.setenv("SIDECAR_DATA", str(tmp_path / "none"))
    assert await run_demo(None, None) == 0
    said = capsys.readouterr().out
    assert "put `livekit-server`" in said
    assert re.search(r"│ recording +│ +[5-9] │", said)
    assert "without holes" in said
