"""A whole call on real servers: two people, consent that changes, Redis away, a worker killed and one drained."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.consent.audit import verify
from sidecar.demo.cast import CastMember, cast_member
from sidecar.demo.servers import RedisProcess
from sidecar.demo.worker import WorkerProcess, running_worker
from sidecar.dispatch.livekit_server import LiveKitServer
from tests.integration.subscriber import Subscriber, data, estimates_with, holes, wall_s

pytestmark = pytest.mark.integration

NOBODY_SPOKE_OF_S = 1.0


@dataclass(slots=True)
class Call:
    """A room with a worker, and people as a test brings them."""

    livekit: LiveKitServer
    redis: RedisProcess
    clips: Path
    folder: Path
    room: str
    _stack: AsyncExitStack

    async def worker(self, name: str = "one") -> WorkerProcess:
        worker = await self._stack.enter_async_context(running_worker(self.livekit, self.redis.url, self.folder / name))
        await worker.ready()
        return worker

    async def person(self, identity: str, clip: str, consent: str, transcript: str | None = None) -> CastMember:
        return await self._stack.enter_async_context(
            cast_member(
                self.livekit,
                self.room,
                identity,
                media=self.clips / clip,
                consent=consent,
                transcript=transcript,
            )
        )

    async def subscriber(self) -> Subscriber:
        return await self._stack.enter_async_context(Subscriber(self.redis.url, self.room))


@pytest.fixture
async def call(
    livekit_server: LiveKitServer,
    redis_server: RedisProcess,
    data_root: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Call]:
    async with AsyncExitStack() as stack:
        yield Call(livekit_server, redis_server, data_root / "clips", tmp_path, f"call {request.node.name}/🎥", stack)


async def test_two_people_are_read_as_far_as_they_consent(call):
    """Consent, all three modalities, mute, revocation of one, leaving; and nothing of who never consented."""
    await call.worker()
    subscriber = await call.subscriber()
    anna = await call.person("anna müller", "lbbc2a.mpg", "face,voice,text", "This is wonderful, thank you so much!")
    await call.person("silent / bob", "lrwp9a.mpg", "")
    events = await subscriber.until(lambda found: estimates_with(found, "anna müller", "face", "voice", "text"))
    assert events[0]["data"]["change"] == "attached"

    await anna.tell("mute audio")
    await subscriber.until(lambda found: any(each["reason"] == "muted" for each in data(found, "participant")))
    await anna.tell("unmute audio")
    await subscriber.until(lambda found: len(data(found, "estimate", "anna müller")) >= 6)

    await anna.tell("consent voice,text")
    events = await subscriber.until(
        lambda found: any(each["consent"] == ["voice", "text"] for each in data(found, "participant"))
    )
    revoked_s = next(wall_s(event) for event in events if event["data"].get("consent") == ["voice", "text"])
    count = len(data(events, "estimate"))
    events = await subscriber.until(lambda found: len(data(found, "estimate")) >= count + 3)
    late = [event for event in events if wall_s(event) > revoked_s + NOBODY_SPOKE_OF_S]
    assert data(late, "estimate")
    assert not estimates_with(late, "anna müller", "face")
    assert {each["missing"]["face"] for each in data(late, "estimate")} == {"no_consent"}

    await anna.leave()
    events = await subscriber.until(lambda found: any(each["change"] == "left" for each in data(found, "participant")))
    assert {each["identity"] for kind in ("participant", "estimate", "episode") for each in data(events, kind)} == {
        "anna müller"
    }
    assert holes(events) == []
    latencies = sorted(each["latency_ms"] for each in data(events, "estimate"))
    assert latencies[len(latencies) // 2] < 1500


async def test_redis_away_costs_no_event(call):
    await call.worker()
    subscriber = await call.subscriber()
    await call.person("anna", "lbbc2a.mpg", "face,voice")
    before = await subscriber.until(lambda found: len(data(found, "estimate")) >= 2)
    call.redis.stop()
    await asyncio.sleep(8)  # the outage itself, not a wait for something to be right
    call.redis.start()
    subscriber.restart()
    newest = int(before[-1]["sequence"])
    events = await subscriber.until(lambda found: int(found[-1]["sequence"]) > newest + 10)
    assert holes(events) == []
    assert len({event["epoch"] for event in events}) == 1


async def test_a_killed_worker_is_replaced_and_a_drained_one_hands_over(call):
    first = await call.worker("one")
    subscriber = await call.subscriber()
    await call.person("anna", "lbbc2a.mpg", "face")
    await subscriber.until(lambda found: data(found, "estimate"))
    second = await call.worker("two")

    first.kill()
    killed_s = time.time()
    events = await subscriber.until(lambda found: len({event["epoch"] for event in found}) == 2)
    assert wall_s(events[-1]) - killed_s < 15
    assert holes(events) == []

    await call.worker("three")
    await second.drain()
    events = await subscriber.until(lambda found: len({event["epoch"] for event in found}) == 3)
    assert holes(events) == []
    handed_over = [event for event in events if event["type"] == "engagement.room.v1"]
    assert [event["data"]["change"] for event in handed_over] == ["attached", "attached", "detached", "attached"]
    [drained] = [event["data"] for event in handed_over if event["data"]["change"] == "detached"]
    [audit] = list((call.folder / "two" / "audit").glob("*/*.jsonl"))
    verify(audit, drained["audit_head"])
