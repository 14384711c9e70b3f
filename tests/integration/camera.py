"""A camera in a call with the codec, size and layers that a test wants; the left half is darker than the right."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from livekit import rtc

from sidecar.demo.participant import participant_token
from sidecar.dispatch.livekit_server import LiveKitServer

FPS = 15
LEFT_LUMA, RIGHT_LUMA = 60, 200
_ICE = rtc.RtcConfiguration(ice_servers=[rtc.IceServer(urls=["stun:127.0.0.1:3478"])])


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What is published."""

    codec: int = rtc.VideoCodec.VP8
    width: int = 640
    height: int = 360
    simulcast: bool = True


class Camera:
    """A participant whose camera a test publishes and takes down."""

    def __init__(self, room: rtc.Room) -> None:
        self.room = room
        self._track: rtc.LocalVideoTrack | None = None
        self._feeding: asyncio.Task[None] | None = None

    async def publish(self, options: CameraOptions = CameraOptions()) -> None:
        source = rtc.VideoSource(options.width, options.height)
        self._track = rtc.LocalVideoTrack.create_video_track("camera", source)
        self._feeding = asyncio.create_task(_feed(source, options))
        await self.room.local_participant.publish_track(
            self._track,
            rtc.TrackPublishOptions(
                source=rtc.TrackSource.SOURCE_CAMERA, simulcast=options.simulcast, video_codec=options.codec
            ),
        )

    async def unpublish(self) -> None:
        await self._stop()
        if self._track is not None:
            await self.room.local_participant.unpublish_track(self._track.sid)
            self._track = None

    async def leave(self) -> None:
        await self._stop()
        await self.room.disconnect()

    async def _stop(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait((self._feeding,))


async def join(server: LiveKitServer, room: str, identity: str, consent: str = "") -> rtc.Room:
    """A participant without tracks."""
    joined = rtc.Room()
    options = rtc.RoomOptions(auto_subscribe=False, dynacast=True, rtc_config=_ICE)
    await joined.connect(server.url, participant_token(server, room, identity, consent), options)
    return joined


@asynccontextmanager
async def camera(server: LiveKitServer, room: str, identity: str) -> AsyncIterator[Camera]:
    """A participant with a camera, which is published by `publish`."""
    member = Camera(await join(server, room, identity))
    try:
        yield member
    finally:
        await member.leave()


async def _feed(source: rtc.VideoSource, options: CameraOptions) -> None:
    half = options.width // 2
    luma = np.empty((options.height, options.width), np.uint8)
    luma[:, :half], luma[:, half:] = LEFT_LUMA, RIGHT_LUMA
    chroma = np.full(options.width * options.height // 2, 128, np.uint8)
    count = 0
    while True:
        count += 1
        luma[:8] = count % 256  # something that moves
        data = np.concatenate([luma.ravel(), chroma]).tobytes()
        source.capture_frame(rtc.VideoFrame(options.width, options.height, rtc.VideoBufferType.I420, data))
        await asyncio.sleep(1 / FPS)
