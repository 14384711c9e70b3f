"""The whole simulated call: servers, worker and participants, started step by step and ended in the reverse order."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.demo.cast import CastMember, cast_member
from sidecar.demo.roles import GRACE, Role
from sidecar.demo.servers import LiveKitProcess, RedisProcess
from sidecar.demo.steps import Steps
from sidecar.demo.worker import WorkerProcess, running_worker
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.errors import Unavailable

ROOM: Final = "demo"


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A room with people in it and a worker that may find it."""

    redis_url: str
    worker: WorkerProcess
    cast: Sequence[CastMember]

    async def ended(self) -> None:
        """Raises `Unavailable` when the worker or a participant ends; never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.worker.ended())
            for member in self.cast:
                tasks.create_task(_gone(member))

    async def play(self, period_s: float) -> None:
        """For ever: Grace takes her consent to `voice` back for a third of each period, and gives it again."""
        grace = next(member for member in self.cast if member.identity == GRACE)
        with suppress(ConnectionError):  # she is gone, which `ended` tells
            for words, share in itertools.cycle((("face,voice", 0.4), ("face", 0.3), ("face,voice", 0.3))):
                await grace.tell(f"consent {words}")
                await asyncio.sleep(share * period_s)


@asynccontextmanager
async def simulated_call(roles: Sequence[Role], folder: Path, steps: Steps) -> AsyncIterator[SimulatedCall]:
    """A running call, whose worker keeps its state in `folder`.

    Raises `ConfigurationError` where a server is missing, `Unavailable` where something does not start.
    """
    async with AsyncExitStack() as stack:
        with steps.step("LiveKit server"):
            livekit = LiveKitProcess()
            stack.enter_context(livekit)
        with steps.step("Redis"):
            redis = RedisProcess()
            stack.enter_context(redis)
        with steps.step("sidecar worker: models loaded, registered with LiveKit"):
            worker = await stack.enter_async_context(running_worker(livekit.server, redis.url, folder / "state"))
            await worker.ready()
        cast = []
        for role in roles:
            with steps.step(f"{role.identity} joins and consents to {role.consent}"):
                cast.append(await stack.enter_async_context(_cast(livekit.server, role)))
        yield SimulatedCall(redis.url, worker, cast)


def _cast(server: LiveKitServer, role: Role) -> AbstractAsyncContextManager[CastMember]:
    return cast_member(
        server,
        ROOM,
        role.identity,
        media=role.media,
        voice=role.voice,
        consent=role.consent,
        transcript="\n".join(role.lines) or None,
    )


async def _gone(member: CastMember) -> None:
    code = await member.process.wait()
    raise Unavailable(f"the simulated participant {member.identity} ended with exit code {code}")
