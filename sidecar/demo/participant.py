"""A simulated participant of a call: publishes a media file as camera and microphone, with consent and transcripts.

Like `sources/livekit`, this module imports `livekit.rtc`: it stands for the people of a call, not for the product.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from livekit import api, rtc
from numpy.typing import NDArray

from sidecar.consent.gate import CONSENT_ATTRIBUTE
from sidecar.demo.media import FPS, HEIGHT_PX, SPEECH_FRAME, SPEECH_RATE_HZ, WIDTH_PX, has_stream, pictures, speech
from sidecar.dispatch.livekit_server import LiveKitServer

VIDEO: Final = "video"
AUDIO: Final = "audio"

_ICE_SERVERS: Final = ("stun:127.0.0.1:3478",)
_DECLARED_PX: Final = (956, 720)
"""Declared to the SDK instead of 640x360, of whose two simulcast layers it makes both 640x360: it takes the 360-line
preset for the lower layer of anything up to 959 pixels, and scales by the declared height. With twice the height the
lower layer is half the picture, 320x180, as browsers send it."""

_BITS_PER_SECOND: Final = 700_000
_QUEUE_MS: Final = 400


def participant_token(server: LiveKitServer, room: str, identity: str, consent: str = "") -> str:
    """A token of an ordinary participant, who may change their own consent."""
    grants = api.VideoGrants(room_join=True, room=room, can_update_own_metadata=True)
    token = api.AccessToken(server.api_key, server.api_secret).with_identity(identity).with_grants(grants)
    return token.with_attributes({CONSENT_ATTRIBUTE: consent} if consent else {}).to_jwt()


@dataclass(slots=True)
class _Published:
    """One published track and the task that feeds it."""

    track: rtc.LocalVideoTrack | rtc.LocalAudioTrack
    feeding: asyncio.Task[None]


class SimulatedParticipant:
    """A participant in a call, joined by `joined`."""

    def __init__(self, room: rtc.Room, media: Path, voice: Path | None) -> None:
        self.room = room
        """The call as the SDK shows it to this participant."""
        self._media = media
        self._voice = voice
        self._published: dict[str, _Published] = {}

    @property
    def identity(self) -> str:
        return self.room.local_participant.identity

    async def publish(self, kind: str) -> None:
        """Publish the camera (`video`, two simulcast layers) or the microphone (`audio`), where the media have it."""
        if kind in self._published:
            return
        if kind == VIDEO and has_stream(self._media, VIDEO):
            await self._publish_camera()
        elif kind == AUDIO and has_stream(self._voice or self._media, AUDIO):
            await self._publish_microphone()

    async def unpublish(self, kind: str) -> None:
        """Take a track out of the call. Idempotent."""
        published = self._published.pop(kind, None)
        if published is not None:
            published.feeding.cancel()
            await asyncio.wait((published.feeding,))
            await self.room.local_participant.unpublish_track(published.track.sid)

    def mute(self, kind: str, muted: bool) -> None:
        """Mute or unmute a published track; its media run on unseen and unheard."""
        track = self._published[kind].track
        if muted:
            track.mute()
        else:
            track.unmute()

    async def consent(self, words: str) -> None:
        """Set the consent attribute, as `face,voice,text`."""
        await self.room.local_participant.set_attributes({CONSENT_ATTRIBUTE: words})

    async def play(self, media: Path) -> None:
        """Publish other media from now on, in tracks of their own."""
        kinds = list(self._published)
        for kind in kinds:
            await self.unpublish(kind)
        self._media = media
        for kind in kinds:
            await self.publish(kind)

    async def say(self, text: str) -> None:
        """Send a transcript of the microphone track as recognisers do: an interim piece, then the final segment."""
        microphone = self._published.get(AUDIO)
        segment = uuid.uuid4().hex
        for words, final in ((text[: len(text) // 2], "false"), (text, "true")):
            attributes = {
                "lk.segment_id": segment,
                "lk.transcribed_track_id": microphone.track.sid if microphone else "",
                "lk.transcription_final": final,
            }
            await self.room.local_participant.send_text(words, topic="lk.transcription", attributes=attributes)

    async def leave(self) -> None:
        """Stop the media, then leave the call."""
        for published in self._published.values():
            published.feeding.cancel()
        await asyncio.gather(*(published.feeding for published in self._published.values()), return_exceptions=True)
        self._published.clear()
        await self.room.disconnect()

    async def _publish_camera(self) -> None:
        source = rtc.VideoSource(*_DECLARED_PX)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=True,
            video_encoding=rtc.VideoEncoding(max_bitrate=_BITS_PER_SECOND, max_framerate=FPS),
        )
        await self.room.local_participant.publish_track(track, options)
        self._published[VIDEO] = _Published(track, asyncio.create_task(_show(source, pictures(self._media))))

    async def _publish_microphone(self) -> None:
        source = rtc.AudioSource(SPEECH_RATE_HZ, 1, queue_size_ms=_QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        task = asyncio.create_task(_speak(source, speech(self._voice or self._media)))
        self._published[AUDIO] = _Published(track, task)


@asynccontextmanager
async def joined(
    url: str, token: str, media: Path, voice: Path | None = None, encryption_key: bytes | None = None
) -> AsyncIterator[SimulatedParticipant]:
    """A participant in a call with camera and microphone published, until the context ends."""
    room = rtc.Room()
    encryption = None
    if encryption_key is not None:
        encryption = rtc.E2EEOptions(key_provider_options=rtc.KeyProviderOptions(shared_key=encryption_key))
    configuration = rtc.RtcConfiguration(ice_servers=[rtc.IceServer(urls=list(_ICE_SERVERS))])
    options = rtc.RoomOptions(auto_subscribe=False, dynacast=True, rtc_config=configuration, encryption=encryption)
    await room.connect(url, token, options)
    participant = SimulatedParticipant(room, media, voice)
    try:
        await participant.publish(VIDEO)
        await participant.publish(AUDIO)
        yield participant
    finally:
        await participant.leave()


async def _show(source: rtc.VideoSource, i420: Iterator[bytes]) -> None:
    clock = asyncio.get_running_loop().time
    due_s = clock()
    for picture in i420:
        source.capture_frame(rtc.VideoFrame(WIDTH_PX, HEIGHT_PX, rtc.VideoBufferType.I420, picture))
        due_s = max(due_s + 1 / FPS, clock() - 1 / FPS)  # a busy machine loses frames, not the pace
        await asyncio.sleep(due_s - clock())


async def _speak(source: rtc.AudioSource, frames: Iterator[NDArray[np.int16]]) -> None:
    for samples in frames:
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), SPEECH_RATE_HZ, 1, SPEECH_FRAME))
