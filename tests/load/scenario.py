"""One measurement: people in a room of a real server, read first by the sidecar and then by the floor."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sidecar.demo.cast import CastMember, cast_member
from sidecar.demo.servers import TETHER
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.errors import Unavailable
from sidecar.sources.livekit import observer_token
from tests.load.bare_models import Calls
from tests.load.cpu import CpuTimes, machine_busy_s, resident_bytes
from tests.load.media import TURN_S, Part
from tests.load.worker import Samples, Worker, worker

_CONSENT: Final = "face,voice,text"
_SETTLED_S: Final = 10.0
"""From the last participant's arrival until the measurement: windows are full, caches and pools are warm."""
_SAMPLE_EVERY_S: Final = 5.0
_FLOOR_READY_WITHIN_S: Final = 120.0
_LINES: Final = ("I think we could try the other way round", "that is a good point", "this does not work at all")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    room: str
    parts: Sequence[Part]
    speech_share: float
    seconds: float
    floor_seconds: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sidecar used and said."""

    seconds: float
    cpu_s: Mapping[str, float]
    """By thread name."""
    machine_busy_s: float
    """CPU time of everything on the machine."""
    counted: Mapping[tuple[str, str], float]
    """Growth of the metrics, by name and labels."""
    estimates: Sequence[Mapping[str, Any]]
    idle_bytes: int
    """Resident memory before the first participant."""
    resident_bytes: Sequence[int]
    """Every few seconds while measuring."""

    def calls(self) -> dict[str, Calls]:
        """How often each model was called, and with how many units."""
        found = {}
        for (name, model), count in self.counted.items():
            if name == "sidecar_inference_seconds_count" and count:
                batches = self.counted.get(("sidecar_batch_size_count", model), 0.0)
                units = self.counted[("sidecar_batch_size_sum", model)] / batches if batches else 1.0
                found[model] = Calls(count / self.seconds, units)
        return found


@dataclass(frozen=True, slots=True)
class Floor:
    """What the SDK and the models alone used."""

    seconds: float
    cpu_s: Mapping[str, float]
    """By thread name."""
    call_s: Mapping[str, float]
    """CPU time of one call by model."""


async def read(server: LiveKitServer, redis_url: str, plan: Plan, folder: Path) -> tuple[Reading, Floor]:
    """Measure. Raises `Unavailable` where a process does not get ready."""
    async with worker(server, redis_url, folder / f"state-{plan.room}") as subject:
        idle_bytes = resident_bytes(subject.pid)
        async with _cast(server, plan) as members:
            talking = asyncio.create_task(_talk(members, TURN_S / plan.speech_share))
            try:
                await asyncio.sleep(_SETTLED_S)
                reading = await _observe(subject, plan, idle_bytes)
                await subject.stop()
                floor = await _floor(server, plan, reading.calls())
            finally:
                talking.cancel()
    return reading, floor


@asynccontextmanager
async def _cast(server: LiveKitServer, plan: Plan) -> AsyncIterator[list[CastMember]]:
    async with AsyncExitStack() as stack:
        members = []
        for index, part in enumerate(plan.parts):
            member = cast_member(
                server, plan.room, f"person-{index}", media=part.video, voice=part.voice, consent=_CONSENT
            )
            members.append(await stack.enter_async_context(member))
        yield members


async def _talk(members: Sequence[CastMember], every_s: float) -> None:
    """Send a segment of transcript for each turn of speech."""
    turn = 0
    while True:
        for index, member in enumerate(members):
            await member.tell(f"say {_LINES[(turn + index) % len(_LINES)]}")
            await asyncio.sleep(every_s / len(members))
        turn += 1


async def _observe(subject: Worker, plan: Plan, idle_bytes: int) -> Reading:
    entry, metrics = await subject.newest_entry(plan.room), await subject.metrics()
    machine_before_s, before, started_s = machine_busy_s(), CpuTimes.of(subject.pid), time.monotonic()
    resident = [resident_bytes(subject.pid)]
    while (left_s := started_s + plan.seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, _SAMPLE_EVERY_S))
        resident.append(resident_bytes(subject.pid))
    return Reading(
        seconds=time.monotonic() - started_s,
        cpu_s=CpuTimes.of(subject.pid).since(before),
        machine_busy_s=machine_busy_s() - machine_before_s,
        counted=_growth(await subject.metrics(), metrics),
        estimates=await subject.estimates(plan.room, entry),
        idle_bytes=idle_bytes,
        resident_bytes=resident,
    )


def _growth(after: Samples, before: Samples) -> dict[tuple[str, str], float]:
    return {key: value - before.get(key, 0.0) for key, value in after.items()}


async def _floor(server: LiveKitServer, plan: Plan, calls: Mapping[str, Calls]) -> Floor:
    token = observer_token(server.api_key, server.api_secret, plan.room, "floor")
    numbers = json.dumps({name: [each.a_second, each.units] for name, each in calls.items()})
    command = [sys.executable, "-m", "tests.load.floor", "--url", server.url, "--token", token, "--calls", numbers]
    process = await asyncio.create_subprocess_exec(*TETHER, *command, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    try:
        ready = await asyncio.wait_for(process.stdout.readline(), _FLOOR_READY_WITHIN_S)
        if ready != b"ready\n":
            raise Unavailable("the floor did not get ready")
        await asyncio.sleep(_SETTLED_S)
        before, started_s = CpuTimes.of(process.pid), time.monotonic()
        await asyncio.sleep(plan.floor_seconds)
        used, seconds = CpuTimes.of(process.pid).since(before), time.monotonic() - started_s
        assert process.stdin is not None
        process.stdin.close()
        output = await asyncio.wait_for(process.stdout.readline(), _FLOOR_READY_WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    measured = json.loads(output)
    return Floor(seconds, used, {name: cpu_s / max(count, 1) for name, (cpu_s, count) in measured.items()})
