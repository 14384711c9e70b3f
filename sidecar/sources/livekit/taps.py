"""Taps on received tracks: a task takes what the SDK's stream delivers, the tap's consumer what is worth keeping.

The task is needed because the SDK wakes no consumer at the end of a video stream, and because its own queues drop
without counting. A tap ends when its permit, track or call ends; what arrives after the end of the permit is discarded.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from livekit import rtc

from sidecar.channel import Channel, Overflow
from sidecar.clock import Clock
from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit.flow import sdk_call
from sidecar.sources.livekit.layers import LayerChoice, VideoQuality
from sidecar.sources.livekit.mapping import QUALITIES
from sidecar.sources.livekit.media_time import AudioTimeline, FrameRate, shown_s
from sidecar.sources.livekit.pictures import converted
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, ByteArray, Permit, VideoFrame

CHUNK_MS: Final = 100
"""Length of an audio chunk. Each costs some 2 ms on its way through the SDK, the event loop and the speech gate,
whatever its length, and each audio stream of the SDK hears the events of all: 200 ms halves that. Longer ones would
come too late for the estimate that follows each whole second (`TICK_PHASE_S`)."""

_AUDIO_CAPACITY: Final = 20  # chunks, 2 s
_BAD_UNITS: Final = 25
"""Unreadable units in a row after which a tap gives its track up; a single one is skipped and counted."""


@dataclass(frozen=True, slots=True)
class TapContext:
    """What a tap needs besides its track."""

    publication: rtc.RemoteTrackPublication
    permit: Permit
    clock: Clock
    epoch_started_s: float
    """Monotonic time at which media time begins."""
    telemetry: Telemetry


class AudioTap:
    """Chunks of one microphone, in order."""

    def __init__(self, context: TapContext) -> None:
        self._context = context
        self._timeline = AudioTimeline()
        self._unreadable = _Unreadable(context.publication.sid)
        self._chunks: Channel[AudioChunk] = Channel(
            _AUDIO_CAPACITY, Overflow.DROP_OLDEST, lambda _: self._drop("queue_full")
        )

    async def take(self, flow: AsyncGenerator[rtc.AudioFrameEvent, None]) -> None:
        """Feed the tap until the stream or the permit ends. Raises `TrackUnavailable`."""
        try:
            async with aclosing(flow):
                async for event in flow:
                    if not self._context.permit.live:
                        return self._drop("revoked")
                    self._accept(event.frame)
        finally:
            self._chunks.close()

    def __aiter__(self) -> AsyncIterator[AudioChunk]:
        return self

    async def __anext__(self) -> AudioChunk:
        chunk = await anext(self._chunks)
        if not self._context.permit.live:
            self._drop("revoked")
            raise StopAsyncIteration
        return chunk

    def _accept(self, frame: rtc.AudioFrame) -> None:
        context = self._context
        context.telemetry.received.labels("samples").inc(frame.samples_per_channel)
        if context.publication.muted:  # a muted track goes on delivering silence
            return self._drop("muted")
        try:
            samples = np.frombuffer(frame.data, np.int16).astype(np.float32) / 32768.0
        except ValueError as error:
            self._drop("unreadable")
            return self._unreadable.count(error)
        if not len(samples):
            return self._drop("empty")
        self._unreadable.reset()
        arrived_s = context.clock.monotonic()
        media_time_s = self._timeline.stamp(len(samples), arrived_s - context.epoch_started_s)
        self._chunks.put(AudioChunk(samples, media_time_s, arrived_s, context.permit))
        return None

    def _drop(self, reason: str) -> None:
        self._context.telemetry.dropped.labels("audio_tap", reason).inc()


class VideoTap:
    """The newest frame of one camera, at most `fps` times a second."""

    def __init__(self, context: TapContext, fps: float) -> None:
        self._context = context
        self._rate = FrameRate(fps)
        self._layer = LayerChoice()
        self._unreadable = _Unreadable(context.publication.sid)
        self._newest: Channel[tuple[rtc.VideoFrameEvent, float]] = Channel(
            1, Overflow.DROP_OLDEST, lambda _: self._drop("stale")
        )

    async def take(self, flow: AsyncGenerator[rtc.VideoFrameEvent, None]) -> None:
        """Feed the tap until the stream or the permit ends. Raises `TrackUnavailable`."""
        try:
            async with aclosing(flow):
                async for event in flow:
                    if not self._context.permit.live:
                        return self._drop("revoked")
                    self._accept(event)
        finally:
            self._newest.close()

    def begin(self) -> None:
        """Ask for the lowest layer, before the track is subscribed."""
        self._ask(self._layer.quality)

    def prefer(self, face_width_px: float | None) -> None:
        """Say how wide the face is in the latest frame, or None with no face in it; the tap asks for a larger or
        smaller layer when that helps."""
        quality = self._layer.consider(face_width_px, self._context.clock.monotonic())
        if quality is not None:
            self._ask(quality)

    def __aiter__(self) -> AsyncIterator[VideoFrame]:
        return self

    async def __anext__(self) -> VideoFrame:
        context = self._context
        while True:
            event, arrived_s = await anext(self._newest)
            rgb = await self._convert(event) if context.permit.live else None
            if not context.permit.live:
                self._drop("revoked")
                raise StopAsyncIteration
            if rgb is not None:
                media_time_s = shown_s(event.timestamp_us, arrived_s) - context.epoch_started_s
                return VideoFrame(rgb, media_time_s, arrived_s, context.permit)

    async def _convert(self, event: rtc.VideoFrameEvent) -> ByteArray | None:
        try:
            rgb = await converted(event.frame, cast(int, event.rotation))
        except TrackUnavailable as error:
            self._drop("unreadable")
            self._unreadable.count(error)
            return None
        self._unreadable.reset()
        return rgb

    def _accept(self, event: rtc.VideoFrameEvent) -> None:
        self._context.telemetry.received.labels("frames").inc()
        if self._context.publication.muted:
            self._drop("muted")
        elif not self._rate.takes(event.timestamp_us / 1e6):
            self._drop("rate")
        else:
            self._newest.put((event, self._context.clock.monotonic()))

    def _ask(self, quality: VideoQuality) -> None:
        publication = self._context.publication
        if publication.simulcasted:
            with suppress(TrackUnavailable), sdk_call("asking for a video layer"):  # a track that is gone ends the tap
                publication.set_video_quality(QUALITIES[quality])

    def _drop(self, reason: str) -> None:
        self._context.telemetry.dropped.labels("video_tap", reason).inc()


class _Unreadable:
    """Counts the units in a row that could not be read."""

    def __init__(self, sid: str) -> None:
        self._sid = sid
        self._units = 0

    def count(self, error: Exception) -> None:
        """Raises `TrackUnavailable` where there are too many."""
        self._units += 1
        if self._units >= _BAD_UNITS:
            raise TrackUnavailable(f"track {self._sid} delivers nothing that can be read") from error

    def reset(self) -> None:
        self._units = 0
