"""The recording path of the demo, for where no LiveKit server can be had: `sidecar analyze`, shown as the call is."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Final

from sidecar.demo.screen import Screen
from sidecar.demo.servers import TETHER
from sidecar.demo.tally import RoomTally
from sidecar.errors import Unavailable

IDENTITY: Final = "recording"
_CONSENT: Final = "face,voice"
_LINE_BYTES: Final = 1 << 20


async def replay(media: Path, folder: Path, tally: RoomTally, screen: Screen) -> None:
    """Show the events of a recording as they are made. Raises `Unavailable` where it cannot be read."""
    log = folder / "analyze.log"
    environment = {**os.environ, "SIDECAR_STATE": str(folder / "state")}
    command = [sys.executable, "-m", "sidecar.cli", "analyze", str(media), "--consent", _CONSENT]
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *TETHER, *command, stdin=DEVNULL, stdout=PIPE, stderr=errors, env=environment, limit=_LINE_BYTES
        )
    footing = f" As JSON lines:  sidecar analyze {media} --consent {_CONSENT}"
    try:
        with screen:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(_count(process, tally))
                while not reading.done():
                    screen.show(tally, media.name, footing)
                    await asyncio.wait((reading,), timeout=screen.tick_s)
            screen.show(tally, media.name, footing)
        if code := await process.wait():
            said = log.read_text("utf-8", "replace").strip()
            raise Unavailable(f"`sidecar analyze` ended with exit code {code}: {said[-2000:]}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _count(process: Process, tally: RoomTally) -> None:
    if process.stdout is not None:
        async for line in process.stdout:
            tally.add(line)
