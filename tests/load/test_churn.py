"""People come and go all day: nothing of them may stay behind."""

import asyncio
import gc
import os
import sys
import threading
import weakref
from contextlib import asynccontextmanager

import numpy as np
import pytest

from sidecar.clock import SystemClock
from sidecar.config import load_settings
from sidecar.consent.audit import AuditChain
from sidecar.engines import Engines
from sidecar.pipeline import ParticipantPipeline, PipelineOptions
from sidecar.publish.publisher import RoomPublisher
from sidecar.room.session import RoomSession
from sidecar.telemetry import Telemetry
from sidecar.types import (
    SAMPLE_RATE_HZ,
    AudioChunk,
    CallEnded,
    Participant,
    ParticipantChanged,
    ParticipantKind,
    ParticipantLeft,
    Track,
    TrackChanged,
    TrackSource,
    VideoFrame,
)
from tests.faces import portrait
from tests.fakes.call import FakeCall
from tests.load.cpu import resident_bytes
from tests.load.media import sound, spoken

CYCLES = 200
SPEECH_S = 2.5
FACE = np.ascontiguousarray(portrait()[:288, 80:368])
WARM_CYCLES = 20
"""Until pools, caches and the allocator have what they keep."""


class CountingSink:
    """An `EventSink` that keeps nothing."""

    def __init__(self):
        self.count = 0

    def put(self, envelope):
        self.count += 1


class Room:
    """A session on a fake call, with the shipped models behind it."""

    def __init__(self, engines, audit, clock, telemetry):
        self.clock, self.telemetry = clock, telemetry
        self.call, self.sink = FakeCall(), CountingSink()
        self.pipelines = weakref.WeakSet()
        self.started_s = clock.monotonic()
        self._engines = engines
        self.session = RoomSession(
            self.call,
            make_pipeline=self._make_pipeline,
            publisher=RoomPublisher("churn", "e1", "w1", self.sink, clock),
            audit=audit,
            clock=clock,
            epoch_started_s=self.started_s,
            telemetry=telemetry,
        )

    async def cycle(self, number: int, speech):
        """Join with two permits, be seen and heard, revoke one, leave."""
        identity = f"person-{number}"
        self._consent(identity, "face,voice")
        self.call.emit(
            TrackChanged(Track(f"cam-{number}", identity, TrackSource.CAMERA, muted=False, encrypted=False)),
            TrackChanged(Track(f"mic-{number}", identity, TrackSource.MICROPHONE, False, False, video=False)),
        )
        await until(lambda: len(self.call.open_taps) == 2)
        now_s = self.clock.monotonic()
        for tap in self.call.open_taps:
            if tap.track.source is TrackSource.CAMERA:
                unit = VideoFrame(FACE, now_s - self.started_s, now_s, tap.permit)
            else:
                unit = AudioChunk(speech, now_s - self.started_s, now_s, tap.permit)
            tap.units.put_nowait(unit)
        await until(lambda: self._encoded("face-vit") > number and self._encoded("voice-whisper") > number)
        self._consent(identity, "voice")
        await until(lambda: len(self.call.open_taps) == 1)
        self.call.emit(ParticipantLeft(identity))
        await until(lambda: not self.call.open_taps)
        self.call.taps.clear()

    def _consent(self, identity, words):
        person = Participant(identity, ParticipantKind.STANDARD, {"engagement.consent": words})
        self.call.emit(ParticipantChanged(person))

    def _encoded(self, model):
        return self.telemetry.registry.get_sample_value("sidecar_batch_size_count", {"model": model}) or 0

    def _make_pipeline(self):
        pipeline = ParticipantPipeline(self._engines, PipelineOptions())
        self.pipelines.add(pipeline)
        return pipeline


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def observed(folder):
    settings, clock, telemetry = load_settings({}), SystemClock(), Telemetry()
    async with Engines(
        settings.models, settings.tree.engines, clock=clock, telemetry=telemetry, shed_stale=False
    ) as engines:
        with AuditChain(folder, "churn", "e1", clock, telemetry) as audit:
            room = Room(engines, audit, clock, telemetry)
            task = asyncio.create_task(room.session.run())
            try:
                yield room
            finally:
                room.call.emit(CallEnded("room_closed"))
                await asyncio.wait_for(task, 5)


async def footprint(room):
    """What the process holds once nobody is left: tasks, threads and open files, and bytes in memory."""
    await until(lambda: gc.collect() >= 0 and not room.pipelines)
    files = len(os.listdir("/proc/self/fd"))
    return (len(asyncio.all_tasks()), threading.active_count(), files), resident_bytes(os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_two_hundred_people_who_come_and_go_leave_nothing_behind(tmp_path):
    speech = sound(spoken(tmp_path), SAMPLE_RATE_HZ)[: int(SPEECH_S * SAMPLE_RATE_HZ)].astype(np.float32) / 32768
    async with observed(tmp_path) as room:
        for number in range(WARM_CYCLES):
            await room.cycle(number, speech)
        held, memory_bytes = await footprint(room)
        for number in range(WARM_CYCLES, CYCLES):
            await room.cycle(number, speech)
        held_after, memory_after_bytes = await footprint(room)
        grown = [after - before for after, before in zip(held_after, held, strict=True)]
        assert max(grown) <= 0, f"more tasks, threads or files: {grown}"
        assert memory_after_bytes < 1.05 * memory_bytes
        assert room.sink.count > 6 * CYCLES
