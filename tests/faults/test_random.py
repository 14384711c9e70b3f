"""Random runs in which everything fails in turn; the invariants must hold at the end of each.

A minute in all, or as long as `FAULTS_SECONDS` says (`make soak`: an hour). `FAULTS_SEED` repeats a run: exactly on
virtual time, and with the same actions in real time.
"""

import asyncio
import os
import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, note, seed, settings
from hypothesis import strategies as st

from sidecar.consent import audit
from sidecar.publish.publisher import Envelope
from sidecar.publish.redis import PublishOptions, RedisSink, connect, stream_key
from sidecar.supervisor import Supervisor
from sidecar.telemetry import Telemetry
from tests.fakes.clock import VirtualClock
from tests.faults.actions import ACTIONS, Action, random_action
from tests.faults.files import faulty_files
from tests.faults.invariants import Resources, recorded_permits
from tests.faults.lag import LoopLag
from tests.faults.proxy import FaultyProxy
from tests.faults.world import FaultWorld

SECONDS = float(os.environ.get("FAULTS_SECONDS", "60"))
SEED = int(os.environ.get("FAULTS_SEED") or secrets.randbelow(2**32))
EXAMPLES = max(1, round(4 * SECONDS))
"""Of the run on virtual time: a quarter of the time, at about 60 ms each."""
SPEED = 8
"""How much faster than ours the clock of the run with Redis goes: as many more seconds of a call."""


class KeepingSink:
    """An `EventSink` that delivers at once."""

    def __init__(self) -> None:
        self.delivered: list[bytes] = []

    def put(self, envelope: Envelope) -> None:
        self.delivered.append(envelope.payload)


class AtOnce:
    """An executor that does what is submitted before it returns, so that a run repeats exactly."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, function: Callable[[], None]) -> Future[None]:
        future: Future[None] = Future()
        function()
        future.set_result(None)
        return future

    def shutdown(self, *_: object, **__: object) -> None:
        pass


class SteppingClock(VirtualClock):
    """A virtual clock on which time passes with every sleep: less than its resolution would not move it at all."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(max(seconds, 1e-6))


class ScaledClock:
    """The machine's clocks, some times faster."""

    def __init__(self) -> None:
        self._began_s, self._wall_s = time.monotonic(), time.time()

    def monotonic(self) -> float:
        return (time.monotonic() - self._began_s) * SPEED

    def wall(self) -> float:
        return self._wall_s + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(
        st.builds(
            Action, st.sampled_from(sorted(ACTIONS.keys() - {"network"})), st.integers(0, 11), st.integers(0, 11)
        ),
        min_size=5,
        max_size=60,
    )
)
# What this run once found:
@example([Action("fail_make", 1, 0), Action("rejoin", 1, 0)])  # stages that could not be made were not tried again
@example([Action("rejoin", 0, 0), Action("fail_make", 0, 0), Action("declare", 0, 2), Action("declare", 0, 0)])
@example(
    [Action("rejoin", 0, 0), Action("fail_close", 0, 0), Action("mute", 0, 0)]
)  # a tap that failed to close ran on
@example([Action("disk", 0, 0), Action("rejoin", 0, 0), Action("wait", 0, 4)])
def test_rooms_on_virtual_time(actions):
    """Rooms, audit and people, in steps that repeat exactly; hypothesis shortens a list that breaks something."""
    note(f"FAULTS_SEED={SEED}")
    with TemporaryDirectory() as folder:
        asyncio.run(on_virtual_time(Path(folder), actions))


async def on_virtual_time(folder, actions):
    before, clock, sink = Resources.now(), SteppingClock(), KeepingSink()
    syncs_at_once = patch.object(audit, "ThreadPoolExecutor", AtOnce)
    with syncs_at_once, faulty_files(folder) as files, recorded_permits() as permits:
        world = FaultWorld(
            folder,
            sink,
            clock=clock,
            advance=clock.advance,
            telemetry=Telemetry(),
            files=files,
            permits=permits,
            before=before,
        )
        for room in world.rooms:
            room.attach()
        for action in actions:
            await action.apply(world)
            await world.pass_time(0.2)
        await world.recover()
        await world.detach()
        await world.check(sink.delivered)


@pytest.mark.integration
async def test_a_worker_with_redis(redis_server, tmp_path):
    """The same with the real sink, spool and Redis behind a broken network, in real time."""
    lag, episode, ends = LoopLag(), 0, time.monotonic() + 0.75 * SECONDS
    print(f"FAULTS_SEED={SEED}")  # noqa: T201 - shown when the test fails, and in the soak run
    while not episode or time.monotonic() < ends:
        done: list[Action] = []
        folder = tmp_path / str(episode)
        folder.mkdir()
        try:
            await with_redis(redis_server, folder, random.Random(f"{SEED}/{episode}"), lag, done)
        except BaseException:
            print(f"episode {episode} of FAULTS_SEED={SEED} failed after", *done, sep="\n  ")  # noqa: T201
            raise
        episode += 1
    print(f"{episode} episodes\n{lag.report()}")  # noqa: T201


async def with_redis(server, folder, generator, lag, done):
    before = Resources.now()
    with faulty_files(folder) as files, recorded_permits() as permits:
        async with FaultyProxy("127.0.0.1", server.port) as proxy:
            clock, telemetry = ScaledClock(), Telemetry()
            async with redis_sink(proxy.port, folder, clock, telemetry) as sink:
                world = FaultWorld(
                    folder,
                    sink,
                    clock=clock,
                    advance=clock.sleep,
                    telemetry=telemetry,
                    files=files,
                    permits=permits,
                    before=before,
                    proxy=proxy,
                    grace_s=SPEED,
                )
                sink.on_lost = world.report_loss
                with lag.measured():
                    await mix(world, generator, done)
                    await world.recover()
                if generator.random() < 0.5:
                    proxy.drop()  # what is published from now on waits in the spool for the next run
                await world.detach()
            proxy.heal()
        async with redis_sink(server.port, folder, clock, telemetry) as second:
            second.on_lost = world.report_loss
            await drained(folder / "spool")
        await world.check(await delivered(server.port, world), folder / "spool")


async def mix(world, generator, done):
    for room in world.rooms:
        room.attach()
    for _ in range(generator.randrange(40, 160)):
        action = random_action(generator)
        done.append(action)
        await action.apply(world)
        await world.pass_time(generator.choice((0.2, 0.4, 0.6)))


def redis_url(port):
    return f"redis://127.0.0.1:{port}/0"


@asynccontextmanager
async def redis_sink(port, folder, clock, telemetry):
    options = PublishOptions(retry_s=0.5, spool_max_bytes=1 << 20)
    supervisor = Supervisor(clock, telemetry)
    client = connect(redis_url(port))
    sink = RedisSink(client, folder / "spool", options, clock=clock, telemetry=telemetry, supervisor=supervisor)
    async with sink:
        yield sink
    await supervisor.aclose()


async def drained(spool):
    async with asyncio.timeout(30):
        while any(spool.glob("*.jsonl")):
            await asyncio.sleep(0.02)


async def delivered(port, world):
    """The payloads in all rooms' streams, in order."""
    async with connect(redis_url(port)) as redis:
        names = {envelope.room for envelope in world.sink.envelopes}
        entries = [each for name in sorted(names) for each in await redis.xrange(stream_key(name))]
        await redis.flushall()
    return [fields[b"event"] for _, fields in entries]
