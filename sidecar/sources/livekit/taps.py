"""Taps on received tracks: a task takes what the SDK's stream delivers, the tap's consumer what is worth keeping.

The task is needed because the SDK wakes nobody at the end of a video stream, and because its own queues drop without
counting. Ended is a tap by its permit, its track or its call; what came after the permit's end is discarded.
"""

from collections.abc import AsyncIterator
from typing import Final, cast

import numpy as np
from livekit import rtc

from sidecar.channel import Channel, Overflow
from sidecar.clock import Clock
from sidecar.sources.livekit.layers import LayerChoice
from sidecar.sources.livekit.mapping import QUALITIES
from sidecar.sources.livekit.media_time import AudioTimeline, FrameRate
from sidecar.sources.livekit.pictures import upright_rgb
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, Permit, VideoFrame

CHUNK_MS: Final = 100
"""Length of an audio chunk. Each costs some 2 ms on its way through the SDK, the event loop and the speech gate,
whatever its length, and each audio stream of the SDK hears the events of all: 200 ms halves that. Longer ones would
come too late for the estimate that follows each whole second (`TICK_PHASE_S`)."""

_AUDIO_CAPACITY: Final = 20  # chunks, 2 s
_VIDEO_CAPACITY: Final = 4  # frames before the choice of the newest


class AudioTap:
    """Chunks of one microphone, in order."""

    def __init__(
        self,
        publication: rtc.RemoteTrackPublication,
        permit: Permit,
        *,
        clock: Clock,
        epoch_started_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._publication = publication
        self._permit = permit
        self._clock = clock
        self._epoch_started_s = epoch_started_s
        self._telemetry = telemetry
        self._timeline = AudioTimeline()
        self._chunks: Channel[AudioChunk] = Channel(
            _AUDIO_CAPACITY, Overflow.DROP_OLDEST, lambda _: self._drop("queue_full")
        )

    async def take(self, stream: rtc.AudioStream) -> None:
        """Feed the tap until the stream or the permit ends."""
        try:
            async for event in stream:
                if not self._permit.live:
                    return self._drop("revoked")
                await self._accept(event.frame)
        finally:
            self._chunks.close()

    def __aiter__(self) -> AsyncIterator[AudioChunk]:
        return self

    async def __anext__(self) -> AudioChunk:
        chunk = await anext(self._chunks)
        if not self._permit.live:
            self._drop("revoked")
            raise StopAsyncIteration
        return chunk

    async def _accept(self, frame: rtc.AudioFrame) -> None:
        self._telemetry.received.labels("samples").inc(frame.samples_per_channel)
        if self._publication.muted:  # a muted track goes on delivering silence
            return self._drop("muted")
        arrived_s = self._clock.monotonic()
        media_time_s = self._timeline.stamp(frame.samples_per_channel, arrived_s - self._epoch_started_s)
        samples = np.frombuffer(frame.data, np.int16).astype(np.float32) / 32768.0
        await self._chunks.send(AudioChunk(samples, media_time_s, arrived_s, self._permit))
        return None

    def _drop(self, reason: str) -> None:
        self._telemetry.dropped.labels("audio_tap", reason).inc()


class VideoTap:
    """The newest frame of one camera, at most `fps` times a second."""

    def __init__(
        self,
        publication: rtc.RemoteTrackPublication,
        permit: Permit,
        *,
        fps: float,
        clock: Clock,
        epoch_started_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._publication = publication
        self._permit = permit
        self._clock = clock
        self._epoch_started_s = epoch_started_s
        self._telemetry = telemetry
        self._rate = FrameRate(fps)
        self._layer = LayerChoice()
        self._newest: Channel[tuple[rtc.VideoFrameEvent, float]] = Channel(
            1, Overflow.DROP_OLDEST, lambda _: self._drop("stale")
        )

    async def take(self, stream: rtc.VideoStream) -> None:
        """Feed the tap until the stream or the permit ends."""
        try:
            async for event in stream:
                if not self._permit.live:
                    return self._drop("revoked")
                await self._accept(event)
        finally:
            self._newest.close()

    def prefer(self, face_width_px: float) -> None:
        """Say how wide the face is in the latest frame; the tap asks for a larger or smaller layer when that helps."""
        quality = self._layer.consider(face_width_px, self._clock.monotonic())
        if quality is not None and self._publication.simulcasted:
            self._publication.set_video_quality(QUALITIES[quality])

    def __aiter__(self) -> AsyncIterator[VideoFrame]:
        return self

    async def __anext__(self) -> VideoFrame:
        event, arrived_s = await anext(self._newest)
        if not self._permit.live:
            self._drop("revoked")
            raise StopAsyncIteration
        # The SDK's stamp is on our own monotonic clock; it is when the frame is due for display, up to 10 ms ahead.
        media_time_s = min(event.timestamp_us / 1e6, arrived_s) - self._epoch_started_s
        return VideoFrame(upright_rgb(event.frame, cast(int, event.rotation)), media_time_s, arrived_s, self._permit)

    async def _accept(self, event: rtc.VideoFrameEvent) -> None:
        self._telemetry.received.labels("frames").inc()
        if self._publication.muted:
            self._drop("muted")
        elif not self._rate.takes(event.timestamp_us / 1e6):
            self._drop("rate")
        else:
            await self._newest.send((event, self._clock.monotonic()))

    def _drop(self, reason: str) -> None:
        self._telemetry.dropped.labels("video_tap", reason).inc()
