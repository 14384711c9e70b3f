"""A call whose events and media a test decides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.types import AudioChunk, CallEvent, Permit, Track, VideoFrame


class FakeTap:
    """What one opened tap delivers; ends when the test says so."""

    def __init__(self, track: Track, permit: Permit) -> None:
        self.track = track
        self.permit = permit
        self.units: asyncio.Queue[AudioChunk | VideoFrame | None] = asyncio.Queue()
        self.open = True

    def prefer(self, face_width_px: float | None) -> None:
        self.preferred_px = face_width_px

    def __aiter__(self) -> AsyncIterator[AudioChunk | VideoFrame]:
        return self

    async def __anext__(self) -> AudioChunk | VideoFrame:
        unit = await self.units.get()
        if unit is None:
            raise StopAsyncIteration
        return unit


class FakeCall:
    """A `CallSource` in memory."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[CallEvent] = asyncio.Queue()
        self.taps: list[FakeTap] = []

    def emit(self, *events: CallEvent) -> None:
        for event in events:
            self._events.put_nowait(event)

    @property
    def open_taps(self) -> list[FakeTap]:
        return [tap for tap in self.taps if tap.open]

    async def events(self) -> AsyncIterator[CallEvent]:
        while True:
            yield await self._events.get()

    @asynccontextmanager
    async def open_audio(self, track: Track, permit: Permit) -> AsyncIterator[FakeTap]:
        tap = FakeTap(track, permit)
        self.taps.append(tap)
        try:
            yield tap
        finally:
            tap.open = False

    open_video = open_audio
