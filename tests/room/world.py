"""A running room session on fakes and virtual time."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np

from sidecar.consent.audit import AuditChain
from sidecar.pipeline import ParticipantPipeline, PipelineOptions
from sidecar.publish.publisher import RoomPublisher
from sidecar.room.session import RoomSession
from sidecar.telemetry import Telemetry
from sidecar.types import (
    AudioChunk,
    CallEnded,
    Participant,
    ParticipantChanged,
    ParticipantKind,
    Track,
    TrackSource,
    VideoFrame,
)
from tests.fakes.call import FakeCall
from tests.fakes.clock import VirtualClock, settle
from tests.fakes.sink import MemorySink
from tests.fakes.stages import FakeStages

CAMERA = Track("TR_cam", "anna", TrackSource.CAMERA, muted=False, encrypted=False)
MICROPHONE = Track("TR_mic", "anna", TrackSource.MICROPHONE, muted=False, encrypted=False, video=False)


class Room:
    """A running session on fakes and virtual time."""

    def __init__(self, folder, stages=None, name="demo"):
        self.clock = VirtualClock()
        self.call = FakeCall()
        self.sink = MemorySink()
        self.stages = stages or FakeStages()
        self.telemetry = Telemetry()
        self.started_s = self.clock.monotonic()
        self.audit = AuditChain(folder, name, "e1", self.clock, self.telemetry)
        self.session = RoomSession(
            self.call,
            make_pipeline=lambda: ParticipantPipeline(self.stages, PipelineOptions()),
            publisher=RoomPublisher(name, "e1", "w1", self.sink, self.clock),
            audit=self.audit,
            clock=self.clock,
            epoch_started_s=self.started_s,
            telemetry=self.telemetry,
        )

    def consent(self, words, kind=ParticipantKind.STANDARD, identity="anna"):
        self.call.emit(ParticipantChanged(Participant(identity, kind, {"engagement.consent": words})))

    @property
    def media_time_s(self):
        return self.clock.monotonic() - self.started_s

    async def feed(self, seconds=1.0):
        """Deliver media on every open tap, five times a second, while time passes."""
        for _ in range(round(seconds * 5)):
            for tap in self.call.open_taps:
                now_s = self.clock.monotonic()
                if tap.track.source is TrackSource.CAMERA:
                    unit = VideoFrame(np.zeros((2, 2, 3), np.uint8), self.media_time_s, now_s, tap.permit)
                else:
                    unit = AudioChunk(np.zeros(3200, np.float32), self.media_time_s, now_s, tap.permit)
                tap.units.put_nowait(unit)
            await self.clock.advance(0.2)

    def dropped(self, stage, reason):
        return self.telemetry.dropped.labels(stage, reason)._value.get()


@asynccontextmanager
async def running(folder, stages=None, name="demo"):
    room = Room(folder, stages, name)
    task = asyncio.create_task(room.session.run())
    await settle()
    try:
        yield room
    finally:
        room.call.emit(CallEnded("room_closed"))
        await asyncio.wait_for(task, 8)
        room.audit.close()
