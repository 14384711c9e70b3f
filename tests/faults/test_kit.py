"""The invariants and the killing of tasks: what the rest of the fault kit's tests do not cover."""

import asyncio
import time

import msgspec
import pytest

from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import ConsentGate
from sidecar.publish.publisher import RoomPublisher
from sidecar.schema import RoomChange
from sidecar.supervisor import Supervisor
from sidecar.telemetry import Telemetry
from sidecar.types import Participant, ParticipantKind
from tests.fakes.clock import VirtualClock, settle
from tests.fakes.sink import MemorySink
from tests.faults.invariants import RecordingSink, Resources, World, check_invariants, recorded_permits, resources_left
from tests.faults.lag import LoopLag
from tests.faults.tasks import KilledByTest, cancel_task, kill_task, tasks_named


def broken(world):
    with pytest.raises(AssertionError) as raised:
        check_invariants(world)
    return str(raised.value)


@pytest.fixture
def published():
    """Six events as a publisher hands them over."""
    sink = RecordingSink(MemorySink())
    publisher = RoomPublisher("demo", "e1", "w1", sink, VirtualClock())
    for _ in range(6):
        publisher.publish(RoomChange(room="demo", change="gap"))
    return sink.envelopes


def payloads(envelopes):
    return [envelope.payload for envelope in envelopes]


def test_an_empty_world_is_sound():
    check_invariants(World(telemetry=Telemetry()))


def test_live_permits_and_gauges_are_found(tmp_path):
    telemetry = Telemetry()
    with recorded_permits() as permits, AuditChain(tmp_path, "demo", "e1", VirtualClock(), Telemetry()) as audit:
        gate = ConsentGate(audit, telemetry)
        gate.declare(Participant("anna", ParticipantKind.STANDARD, {"engagement.consent": "face,voice"}))
        found = broken(World(telemetry, permits))
        assert "2 permits are live" in found
        assert "sidecar_participants{'modality': 'face'} is 1" in found
        gate.withdraw("anna")
    check_invariants(World(telemetry, permits))


def test_every_event_is_delivered_spooled_or_lost(published, tmp_path):
    delivered = payloads([*published[:2], *published[:3]])
    (tmp_path / "000000000001.jsonl").write_bytes(msgspec.json.encode(published[4]) + b"\n" + b'{"torn')
    telemetry = Telemetry()
    telemetry.lost.inc()
    world = World(telemetry, (), published, delivered, published[3:4], tmp_path)
    assert "1 events are neither delivered, spooled nor counted as lost: 6" in broken(world)
    world.delivered = [*delivered, published[5].payload]
    check_invariants(world)


def test_a_loss_that_is_not_counted_is_found(published):
    world = World(Telemetry(), (), published, payloads(published[1:]), published[:1])
    assert "1 events were reported as lost, 0 counted" in broken(world)


def test_events_out_of_order_or_never_published_are_found(published):
    order = [*published[:3], published[4], published[3], published[5]]
    assert "1 events were delivered after a later one: 4" in broken(
        World(published=published, delivered=payloads(order))
    )
    assert "never published: 6" in broken(World(published=published[:5], delivered=payloads(published)))
    assert "holes" in broken(World(published=published[1:], delivered=payloads(published[1:])))


def test_chains_verify_up_to_the_last_whole_line(tmp_path):
    with AuditChain(tmp_path, "demo", "e1", VirtualClock(), Telemetry()) as audit:
        for _ in range(3):
            audit.record("attached")
    world = World(audit_folder=tmp_path)
    check_invariants(world)
    with audit.path.open("ab") as file:
        file.write(b'{"torn')
    check_invariants(world)
    audit.path.write_bytes(audit.path.read_bytes().replace(b'"n":1', b'"n":7'))
    assert "does not verify" in broken(world)


async def test_tasks_and_descriptors_left_behind_are_found(tmp_path):
    before = Resources.now()
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    with (tmp_path / "open").open("wb"):
        left = await resources_left(before, 0.05)
        assert sum("task forgotten" in each for each in left) == 1
        assert sum(str(tmp_path) in each for each in left) == 1
    task.cancel()
    assert await resources_left(before) == []


async def test_a_killed_task_raises_and_its_supervisor_starts_it_again():
    clock, starts, telemetry = VirtualClock(), [], Telemetry()
    supervisor = Supervisor(clock, telemetry)

    async def work():
        starts.append(1)
        await asyncio.Event().wait()

    supervisor.start("worker", work)
    await settle()
    assert kill_task("work*") == 1
    await settle()
    assert supervisor.failing == {"worker": "KilledByTest"}
    assert kill_task("worker") == 0, "it backs off: that wait belongs to the supervisor"
    await clock.advance(1)
    assert len(starts) == 2
    await supervisor.aclose()
    assert tasks_named("worker") == []


async def test_a_cancelled_task_ends_and_one_in_a_thread_is_not_killed():
    async def wait():
        await asyncio.to_thread(lambda: None)
        await asyncio.Event().wait()

    task = asyncio.create_task(wait(), name="waits")
    await asyncio.sleep(0)
    assert kill_task("waits") == 0
    while not kill_task("waits", KilledByTest("now")):
        await asyncio.sleep(0.001)
    with pytest.raises(KilledByTest, match="now"):
        await task
    other = asyncio.create_task(asyncio.sleep(60), name="other")
    assert cancel_task("other") == 1
    await asyncio.wait([other])
    assert other.cancelled()


async def blocks():
    time.sleep(0.03)  # noqa: ASYNC251 - what is to be found


async def test_a_call_that_holds_up_the_loop_is_found():
    lag = LoopLag()
    with lag.measured():
        while not lag.too_long:  # a call that was preempted does not count
            await asyncio.create_task(blocks(), name="blocks")
    assert lag.longest[0].what.startswith("task blocks")
    assert lag.too_long == 1
    assert "1 above 20 ms" in lag.report()
