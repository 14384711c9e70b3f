"""Simulated participants in processes of their own, as the demo, the tests and the benchmark start them."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sidecar.demo.participant import participant_token
from sidecar.demo.servers import TETHER
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.errors import Unavailable

_READY_WITHIN_S: Final = 60.0
_LEFT_WITHIN_S: Final = 5.0


class CastMember:
    """A running participant process, told what to do by lines (see `publisher`)."""

    def __init__(self, identity: str, process: Process) -> None:
        self.identity = identity
        self.process = process

    async def tell(self, line: str) -> None:
        """Send one line, for example `mute audio`."""
        if self.process.stdin is None:
            raise Unavailable("the participant's standard input is closed")
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def leave(self) -> None:
        """End the process: politely, then not. Idempotent."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), _LEFT_WITHIN_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def cast_member(
    server: LiveKitServer,
    room: str,
    identity: str,
    *,
    media: Path,
    voice: Path | None = None,
    consent: str = "",
    transcript: str | None = None,
) -> AsyncIterator[CastMember]:
    """A participant process whose tracks are published. Raises `Unavailable` where it does not come so far."""
    command = [sys.executable, "-m", "sidecar.demo.publisher", "--url", server.url, "--media", str(media)]
    command += ["--token", participant_token(server, room, identity, consent)]
    command += ["--media-voice", str(voice)] if voice else []
    command += ["--transcript", transcript] if transcript else []
    process = await asyncio.create_subprocess_exec(*TETHER, *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    member = CastMember(identity, process)
    try:
        await _ready(process)
        yield member
    finally:
        await member.leave()


async def _ready(process: Process) -> None:
    if process.stdout is None:
        raise Unavailable("a participant process has no standard output")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _READY_WITHIN_S)
    except TimeoutError:
        line = b""
    if line != b"ready\n":
        raise Unavailable("a participant process did not get ready")
