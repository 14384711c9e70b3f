"""`sidecar demo`: a simulated call with a real server, a real worker and real media, watched as a subscriber would."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from sidecar.clock import SystemClock
from sidecar.demo.call import ROOM, SimulatedCall, simulated_call
from sidecar.demo.install import install_livekit, livekit_binary
from sidecar.demo.replay import IDENTITY, replay
from sidecar.demo.roles import find_clips, roles
from sidecar.demo.screen import Screen
from sidecar.demo.steps import Steps
from sidecar.demo.summary import successful, summary
from sidecar.demo.tally import RoomTally
from sidecar.errors import ConfigurationError, SidecarError
from sidecar.publish.redis import connect
from sidecar.publish.tail import follow

_ATTACHED_WITHIN_S: Final = 60.0
_PERIOD_S: Final = 60.0
_TERMINATIONS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_demo(seconds: float | None, media: Path | None) -> int:
    """Show the call until `seconds` after it was attached, or until interrupted. 0 where everybody was read, else 1.

    Raises `SidecarError` where it cannot be shown.
    """
    console, tally, expected = Console(), RoomTally(), [IDENTITY]
    steps = Steps(console)
    try:
        with _termination_interrupts(), tempfile.TemporaryDirectory(prefix="sidecar-demo-") as name:
            folder = Path(name)
            with steps.step("faces and voices of two participants"):
                cast = await asyncio.to_thread(roles, find_clips(), media, folder)
            if await _livekit_is_there(console, steps):
                expected = [role.identity for role in cast]
                async with simulated_call(cast, folder, steps) as call:
                    console.print(
                        f"   its log: {call.worker.log}\n   its metrics: {call.worker.http_url}/metrics\n",
                        highlight=False,
                    )
                    await _watch(call, tally, seconds, Screen(console))
                    console.print("ending the call", style="dim")
            else:
                await replay(media or cast[-1].media, folder, tally, Screen(console))
    except asyncio.CancelledError:  # Ctrl-C ends the demo as its time does
        _forgive_cancellation()
    if tally.types:
        console.print(summary(tally))
    return 0 if successful(tally, expected) else 1


async def _livekit_is_there(console: Console, steps: Steps) -> bool:
    """Install the server where it is missing; False, with a word on how to get one, where that cannot be done."""
    try:
        livekit_binary()
    except ConfigurationError as missing:
        console.print("No LiveKit server is installed. Building one with Go takes 1 to 2 minutes, only this once.")
        try:
            with steps.step("LiveKit server built"):
                await asyncio.to_thread(install_livekit)
        except ConfigurationError as error:
            console.print(f"\n{error}\n{missing}\n", markup=False)
            console.print("Without a LiveKit server there is no call. Here is a recording, read in the same way.\n")
            return False
    return True


async def _watch(call: SimulatedCall, tally: RoomTally, seconds: float | None, screen: Screen) -> None:
    """Show the room as Redis tells it, until the time is over. Raises `Unavailable` where a process of it ends."""
    period_s = min(seconds or _PERIOD_S, _PERIOD_S)
    try:
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(_subscribe(call.redis_url, tally)),
                tasks.create_task(call.play(period_s)),
                tasks.create_task(call.ended()),
            ]
            await _draw(call, tally, seconds, screen)
            for task in background:
                task.cancel()
    except* SidecarError as failures:
        raise _first(failures) from None


async def _subscribe(redis_url: str, tally: RoomTally) -> None:
    """Count the room's events from the first one on, for ever."""
    task = asyncio.current_task()
    async with connect(redis_url) as redis, aclosing(follow(redis, ROOM, "start", SystemClock())) as events:
        async for payload in events:
            tally.add(payload)
            if task and task.cancelling():  # before Python 3.12 the client can lose a cancellation (issue 86296)
                return


async def _draw(call: SimulatedCall, tally: RoomTally, seconds: float | None, screen: Screen) -> None:
    """Show the tally until `seconds` after the room was attached."""
    footing = f" Raw events: REDIS_URL={call.redis_url} {_command()} tail {ROOM}"
    joined_s, attached_s = time.monotonic(), None
    with screen:
        while True:
            now_s = time.monotonic()
            if attached_s is None and tally.attached:
                attached_s = now_s
            if attached_s is None and now_s - joined_s > _ATTACHED_WITHIN_S:
                raise call.worker.missed(f"no observer came into the room within {_ATTACHED_WITHIN_S:.0f} s")
            shown_s = 0.0 if attached_s is None else now_s - attached_s
            over = seconds is not None and shown_s >= seconds
            screen.show(tally, _heading(shown_s, seconds), footing)
            if over:
                return
            await asyncio.sleep(screen.tick_s)


def _heading(shown_s: float, seconds: float | None) -> str:
    return f" room {ROOM}  {_clock(shown_s)}" + (f" of {_clock(seconds)}" if seconds else "")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _command() -> str:
    """How to call `sidecar` from here."""
    program = Path(sys.executable).with_name("sidecar")
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def _first(group: BaseExceptionGroup[SidecarError]) -> SidecarError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the demo alike, also where the parent had them ignored."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        for number in _TERMINATIONS:
            loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in _TERMINATIONS:
            loop.remove_signal_handler(number)


def _forgive_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
