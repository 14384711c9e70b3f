"""A LiveKit room observed: implements `CallSource`."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Final, Self

from livekit import rtc

from sidecar.clock import Clock
from sidecar.errors import CredentialsRefused, InvariantBroken, TrackUnavailable, Unavailable
from sidecar.sources.livekit.events import RoomEvents
from sidecar.sources.livekit.layers import VideoQuality
from sidecar.sources.livekit.logs import without_tokens
from sidecar.sources.livekit.mapping import QUALITIES, is_encrypted
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.sources.livekit.subscriptions import ReceivedTrack, Subscriptions
from sidecar.sources.livekit.taps import CHUNK_MS, AudioTap, VideoTap
from sidecar.sources.livekit.transcripts import Transcripts
from sidecar.telemetry import Telemetry
from sidecar.types import SAMPLE_RATE_HZ, CallEvent, Modality, Permit, Track

_SDK_CAPACITY: Final = 20
"""Units that wait in the SDK while the event loop is busy; what reaches a tap is bounded and counted there."""

_CLOSED_WITHIN_S: Final = 2.0


class LiveKitCall:
    """One room, joined by `async with`. Nothing is received from a track until it is opened with a permit.

    All methods belong to the event loop that entered the context. Close the taps before leaving it.
    """

    def __init__(
        self,
        url: str,
        token: str,
        options: LiveKitOptions,
        *,
        clock: Clock,
        telemetry: Telemetry,
        epoch_started_s: float,
    ) -> None:
        self._url = url
        self._token = token
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._epoch_started_s = epoch_started_s
        self._captures: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Join the room. Raises `CredentialsRefused` or `Unavailable`."""
        self._room = rtc.Room()
        self._events = RoomEvents(self._room, self._telemetry)
        self._subscriptions = Subscriptions(self._room, self._options.track_timeout_s, self._events.interrupted)
        self._transcripts = Transcripts(self._room, self._options, self._telemetry, self._events.offer)
        self._room.on("disconnected", self._disconnected)
        connecting = asyncio.create_task(self._connect())
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:  # the SDK cannot give up half-way: it would join behind our back
            with suppress(CredentialsRefused, Unavailable):
                await connecting
            await self._room.disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the room: captures first, because the SDK may panic when it disconnects under them."""
        self._subscriptions.close()
        await asyncio.gather(*self._captures, return_exceptions=True)
        await self._room.disconnect()

    def events(self) -> AsyncIterator[CallEvent]:
        """Who and what is there already, then what happens, and at last `CallEnded`. To be iterated once."""
        return aiter(self._events)

    @asynccontextmanager
    async def open_audio(self, track: Track, permit: Permit) -> AsyncIterator[AudioTap]:
        """A tap on a microphone. Raises `PermitRevoked` or `TrackUnavailable`."""
        publication = self._publication(track, permit, (Modality.VOICE, Modality.TEXT))
        tap = AudioTap(
            publication,
            permit,
            clock=self._clock,
            epoch_started_s=self._epoch_started_s,
            telemetry=self._telemetry,
        )
        async with self._subscriptions.hold(publication) as received:
            permit.check()
            stream = rtc.AudioStream.from_track(
                track=received.track,
                sample_rate=SAMPLE_RATE_HZ,
                num_channels=1,
                frame_size_ms=CHUNK_MS,
                capacity=_SDK_CAPACITY,
            )
            async with self._captured(tap.take(stream), stream, received):
                yield tap

    @asynccontextmanager
    async def open_video(self, track: Track, permit: Permit) -> AsyncIterator[VideoTap]:
        """A tap on a camera, on its lowest layer. Raises `PermitRevoked` or `TrackUnavailable`."""
        publication = self._publication(track, permit, (Modality.FACE,))
        tap = VideoTap(
            publication,
            permit,
            fps=self._options.fps,
            clock=self._clock,
            epoch_started_s=self._epoch_started_s,
            telemetry=self._telemetry,
        )
        if publication.simulcasted:
            publication.set_video_quality(QUALITIES[VideoQuality.LOW])
        async with self._subscriptions.hold(publication) as received:
            permit.check()
            stream = rtc.VideoStream.from_track(track=received.track, capacity=_SDK_CAPACITY)
            async with self._captured(tap.take(stream), stream, received):
                yield tap

    async def _connect(self) -> None:
        options = rtc.RoomOptions(
            auto_subscribe=False,
            rtc_config=rtc.RtcConfiguration(ice_servers=[rtc.IceServer(urls=list(self._options.ice_servers))]),
            data_stream=rtc.DataStreamOptions(max_payload_byte_length=self._options.transcript_bytes),
        )
        try:
            await self._room.connect(self._url, self._token, options)
        except rtc.ConnectError as error:
            message = without_tokens(error.message)  # the SDK's message quotes the token; so no `from error`
            if re.search(r"\b40[13]\b", message):
                raise CredentialsRefused(f"LiveKit at {self._url} refused the token: {message}") from None
            raise Unavailable(f"LiveKit at {self._url} cannot be reached: {message}") from None
        self._events.begin()

    def _publication(
        self, track: Track, permit: Permit, modalities: tuple[Modality, ...]
    ) -> rtc.RemoteTrackPublication:
        """The publication that a permit opens. Raises `PermitRevoked`, `TrackUnavailable` or `InvariantBroken`."""
        permit.check()
        if permit.identity != track.identity or permit.modality not in modalities:
            raise InvariantBroken(f"{permit!r} does not open track {track.sid}")
        participant = self._room.remote_participants.get(track.identity)
        publication = participant.track_publications.get(track.sid) if participant is not None else None
        if publication is None:
            raise TrackUnavailable(f"track {track.sid} is gone")
        if is_encrypted(publication):
            raise TrackUnavailable(f"track {track.sid} is encrypted")
        return publication

    @asynccontextmanager
    async def _captured(
        self, taking: Coroutine[None, None, None], stream: rtc.AudioStream | rtc.VideoStream, received: ReceivedTrack
    ) -> AsyncIterator[None]:
        """Run a tap's capture beside its consumer; end it with the track, and close the stream after it."""
        capture = asyncio.create_task(taking)
        self._captures.add(capture)
        received.lost.add_done_callback(lambda _: capture.cancel())
        try:
            yield
        finally:
            capture.cancel()
            await asyncio.wait((capture,))
            self._captures.discard(capture)
            with suppress(TimeoutError):
                await asyncio.wait_for(stream.aclose(), _CLOSED_WITHIN_S)
        if not capture.cancelled():
            capture.result()

    def _disconnected(self) -> None:
        self._subscriptions.close()
