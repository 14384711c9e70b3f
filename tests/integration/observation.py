"""Observing a real room in a test: its events are kept, and waited for with a bound."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np

from sidecar.clock import SystemClock
from sidecar.dispatch.livekit_server import OBSERVER_IDENTITY, LiveKitServer
from sidecar.sources.livekit import LiveKitCall, LiveKitOptions, observer_token
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, CallEvent, Track, TrackChanged, TrackSource, VideoFrame

Event = TypeVar("Event", bound=CallEvent)

WITHIN_S = 20.0


class Observation:
    """One observed room and everything it said."""

    def __init__(self, call: LiveKitCall, telemetry: Telemetry, epoch_started_s: float) -> None:
        self.call = call
        self.telemetry = telemetry
        self.epoch_started_s = epoch_started_s
        self.events: list[CallEvent] = []
        self._more = asyncio.Event()

    async def listen(self) -> None:
        async for event in self.call.events():
            self.events.append(event)
            self._more.set()

    async def seen(self, kind: type[Event], matches: Callable[[Event], bool] = lambda _: True, since: int = 0) -> Event:
        """The first event of a kind that matches, among those from number `since` on."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for event in self.events[since:]:
                    if isinstance(event, kind) and matches(event):
                        return event
                self._more.clear()
                await self._more.wait()

    async def track(self, identity: str, source: TrackSource) -> Track:
        """The newest state of a participant's track."""
        await self.seen(TrackChanged, lambda event: event.track.identity == identity and event.track.source is source)
        return [
            event.track
            for event in self.events
            if isinstance(event, TrackChanged) and event.track.identity == identity and event.track.source is source
        ][-1]

    def received(self, unit: str) -> float:
        return self.telemetry.registry.get_sample_value("sidecar_received_total", {"unit": unit}) or 0.0

    def dropped(self, stage: str, reason: str) -> float:
        labels = {"stage": stage, "reason": reason}
        return self.telemetry.registry.get_sample_value("sidecar_dropped_total", labels) or 0.0


async def low_frames(tap: AsyncIterator[VideoFrame], count: int) -> list[VideoFrame]:
    """Frames in a row from the 320x180 layer; a busy server begins with a higher one."""
    frames: list[VideoFrame] = []
    async with asyncio.timeout(WITHIN_S):
        async for frame in tap:
            frames = [*frames, frame] if frame.rgb.shape == (180, 320, 3) else []
            if len(frames) == count:
                break
    return frames


def assert_continuous(chunks: list[AudioChunk]) -> None:
    """Media time runs on without overlap; a busy machine may delay the sound for good once, which is corrected."""
    steps = np.diff([chunk.media_time_s for chunk in chunks])
    assert (steps > 0.0999).all(), steps
    assert (steps > 0.1001).sum() <= 1, steps


@asynccontextmanager
async def observing(
    server: LiveKitServer, room: str, options: LiveKitOptions | None = None
) -> AsyncIterator[Observation]:
    """Observe a room until the context ends."""
    telemetry, started_s = Telemetry(), time.monotonic()
    token = observer_token(server.api_key, server.api_secret, room, OBSERVER_IDENTITY)
    call = LiveKitCall(
        server.url,
        token,
        options or LiveKitOptions(),
        clock=SystemClock(),
        telemetry=telemetry,
        epoch_started_s=started_s,
    )
    async with call:
        observation = Observation(call, telemetry, started_s)
        listening = asyncio.create_task(observation.listen())
        try:
            yield observation
        finally:
            listening.cancel()
            await asyncio.wait((listening,))
