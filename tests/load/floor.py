"""The least that reading a call can cost: `python -m tests.load.floor --url URL --token TOKEN --calls JSON`.

The SDK alone receives what the sidecar receives (each camera's lowest layer, RGB five times a second, each microphone
at 16 kHz) and throws it away, while the models alone are called as often as the sidecar called them (`--calls`: model
to calls a second and units a call). Prints `ready` once all is running; when standard input ends, it prints CPU
seconds and number of the calls of each model as JSON.
"""

import argparse
import asyncio
import json
import sys
from typing import Final

from livekit import rtc

from sidecar.config import load_settings
from sidecar.sources.livekit.taps import CHUNK_MS
from tests.load.bare_models import BareModel, Calls, load
from tests.load.named_threads import show_names

_FPS: Final = 5.0
_CAPACITY: Final = 20
_ICE_SERVERS: Final = ["stun:127.0.0.1:3478"]


class Listener:
    """Subscribes to whatever is published and discards what comes."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.room.on("track_published", lambda publication, _: self._want(publication))
        self.room.on("track_subscribed", lambda track, *_: self._discard(track))
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, url: str, token: str) -> None:
        ice = rtc.RtcConfiguration(ice_servers=[rtc.IceServer(urls=_ICE_SERVERS)])
        await self.room.connect(url, token, rtc.RoomOptions(auto_subscribe=False, rtc_config=ice))
        for participant in self.room.remote_participants.values():
            for publication in participant.track_publications.values():
                self._want(publication)

    async def leave(self) -> None:
        """Captures first: the SDK may panic when it disconnects under them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()

    def _want(self, publication: rtc.RemoteTrackPublication) -> None:
        if publication.simulcasted:
            publication.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
        publication.set_subscribed(True)

    def _discard(self, track: rtc.RemoteTrack) -> None:
        video = track.kind == rtc.TrackKind.KIND_VIDEO
        self._tasks.add(asyncio.create_task(_watch(track) if video else _listen(track)))


async def _watch(track: rtc.RemoteTrack) -> None:
    due_s = 0.0
    stream = rtc.VideoStream.from_track(track=track, capacity=_CAPACITY)
    try:
        async for event in stream:
            if event.timestamp_us / 1e6 >= due_s:
                due_s = max(due_s + 1 / _FPS, event.timestamp_us / 1e6 + 0.5 / _FPS)
                event.frame.convert(rtc.VideoBufferType.RGB24)
    finally:
        await stream.aclose()


async def _listen(track: rtc.RemoteTrack) -> None:
    stream = rtc.AudioStream.from_track(
        track=track, sample_rate=16_000, num_channels=1, frame_size_ms=CHUNK_MS, capacity=_CAPACITY
    )
    try:
        async for _ in stream:
            pass
    finally:
        await stream.aclose()


async def _run(url: str, token: str, plan: dict[str, Calls]) -> None:
    models = await asyncio.to_thread(load, load_settings({}), plan)
    bare = [BareModel(model, plan[name]) for name, model in models.items()]
    listener = Listener()
    await listener.join(url, token)
    for model in bare:
        model.start()
    print("ready", flush=True)  # noqa: T201 - what the starting process waits for
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.gather(*(asyncio.to_thread(model.stop) for model in bare))
    print(json.dumps({model.name: [model.cpu_s, model.calls] for model in bare}), flush=True)  # noqa: T201
    await listener.leave()


if __name__ == "__main__":
    show_names()
    parser = argparse.ArgumentParser(prog="python -m tests.load.floor", description=__doc__)
    for name in ("--url", "--token", "--calls"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    calls = {name: Calls(*numbers) for name, numbers in json.loads(given.calls).items()}
    asyncio.run(_run(given.url, given.token, calls))
