"""A LiveKit room observed: implements `CallSource`."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

from livekit import rtc

from sidecar.clock import Clock
from sidecar.errors import CredentialsRefused, InvariantBroken, SidecarError, TrackUnavailable, Unavailable
from sidecar.sources.livekit.events import RoomEvents
from sidecar.sources.livekit.flow import flow, sdk_call
from sidecar.sources.livekit.logs import mask_sdk_logs, without_tokens
from sidecar.sources.livekit.mapping import is_encrypted
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.sources.livekit.subscriptions import ReceivedTrack, Subscriptions
from sidecar.sources.livekit.taps import CHUNK_MS, AudioTap, TapContext, VideoTap
from sidecar.sources.livekit.transcripts import Transcripts
from sidecar.telemetry import Telemetry
from sidecar.types import SAMPLE_RATE_HZ, CallEvent, Modality, Permit, Track

log = logging.getLogger(__name__)

_SDK_CAPACITY: Final = 20
"""Units that wait in the SDK while the event loop is busy; what reaches a tap is bounded and counted there."""

_JOIN_ATTEMPTS: Final = 8
"""The SDK tries four times, with pauses between the tries that last as long again: so it gives up before we do."""
_CLOSED_WITHIN_S: Final = 2.0
_LEFT_WITHIN_S: Final = 5.0


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
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Join the room. Raises `CredentialsRefused` or `Unavailable`, at the latest after `join_timeout_s`."""
        mask_sdk_logs()
        self._room = rtc.Room()
        self._events = RoomEvents(self._room, self._telemetry)
        self._subscriptions = Subscriptions(self._room, self._options.track_timeout_s, self._events.interrupted)
        self._transcripts = Transcripts(
            self._room,
            self._options,
            self._telemetry,
            owner_of=self._events.owner_of,
            offer=self._events.offer,
        )
        joining = asyncio.create_task(self._connect())
        try:
            await asyncio.wait((joining,), timeout=self._options.join_timeout_s)
            if not joining.done():
                raise Unavailable(f"LiveKit at {self._url} did not answer within {self._options.join_timeout_s:g} s")
            joining.result()
        except BaseException as error:
            self._let_go()
            _keep(self._leave_after(joining))
            if isinstance(error, Exception) and not isinstance(error, SidecarError):
                raise Unavailable(f"joining at {self._url} failed in the SDK: {type(error).__name__}") from error
            raise
        self._events.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the room: streams are closed first, because the SDK may panic when it disconnects under them."""
        self._subscriptions.close()
        leaving = _keep(self._leave())  # goes on where this task is cancelled
        await asyncio.wait((leaving,))

    def events(self) -> AsyncIterator[CallEvent]:
        """Who and what is there already, then what happens, and at last `CallEnded`. To be iterated once."""
        return aiter(self._events)

    @asynccontextmanager
    async def open_audio(self, track: Track, permit: Permit) -> AsyncIterator[AudioTap]:
        """A tap on a microphone. Raises `PermitRevoked`; `TrackUnavailable` here or where the tap ends early."""
        publication = self._publication(track, permit, (Modality.VOICE, Modality.TEXT))
        tap = AudioTap(self._context(publication, permit))
        async with self._subscriptions.hold(publication) as received:
            permit.check()
            with sdk_call("opening an audio stream"):
                stream = rtc.AudioStream.from_track(
                    track=received.track,
                    sample_rate=SAMPLE_RATE_HZ,
                    num_channels=1,
                    frame_size_ms=CHUNK_MS,
                    capacity=_SDK_CAPACITY,
                )
            units = flow(stream, publication, received.track, self._options.track_timeout_s)
            async with self._captured(tap.take(units), stream, received):
                yield tap

    @asynccontextmanager
    async def open_video(self, track: Track, permit: Permit) -> AsyncIterator[VideoTap]:
        """A tap on a camera, on its lowest layer. Raises as `open_audio` does."""
        publication = self._publication(track, permit, (Modality.FACE,))
        tap = VideoTap(self._context(publication, permit), self._options.fps)
        tap.begin()
        async with self._subscriptions.hold(publication) as received:
            permit.check()
            with sdk_call("opening a video stream"):
                stream = rtc.VideoStream.from_track(track=received.track, capacity=_SDK_CAPACITY)
            units = flow(stream, publication, received.track, self._options.track_timeout_s)
            async with self._captured(tap.take(units), stream, received):
                yield tap

    async def _connect(self) -> None:
        options = rtc.RoomOptions(
            auto_subscribe=False,
            connect_timeout=self._options.join_timeout_s / _JOIN_ATTEMPTS,
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

    async def _leave_after(self, joining: "asyncio.Task[None]") -> None:
        """The SDK cannot abort a join: leave as soon as it has joined."""
        await asyncio.wait((joining,))
        await self._leave()

    async def _leave(self) -> None:
        """Close what is still open, then the connection, each within its bound."""
        for ending in (self._captures, self._closing):
            if ending:
                await asyncio.wait(ending, timeout=_CLOSED_WITHIN_S)
        leaving = asyncio.create_task(self._room.disconnect())
        await asyncio.wait((leaving,), timeout=_LEFT_WITHIN_S)
        if not leaving.done():
            log.warning("the SDK did not leave a room within %g s", _LEFT_WITHIN_S)
            leaving.cancel()
        elif not leaving.cancelled() and leaving.exception() is not None:
            log.warning("the SDK failed to leave a room: %s", type(leaving.exception()).__name__)
        self._let_go()

    def _let_go(self) -> None:
        """Take all handlers off the room. Idempotent."""
        self._subscriptions.close()
        self._transcripts.close()
        self._events.close()

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

    def _context(self, publication: rtc.RemoteTrackPublication, permit: Permit) -> TapContext:
        return TapContext(publication, permit, self._clock, self._epoch_started_s, self._telemetry)

    @asynccontextmanager
    async def _captured(
        self, taking: Coroutine[None, None, None], stream: rtc.AudioStream | rtc.VideoStream, received: ReceivedTrack
    ) -> AsyncIterator[None]:
        """Run a tap's capture beside its consumer; end it with the track.

        At the end the track is unsubscribed at once; the stream is closed in the background, so that a stream that does
        not close holds nothing up. Whatever failed in the capture ends this tap alone, as `TrackUnavailable`.
        """
        capture = asyncio.create_task(taking)
        self._captures.add(capture)
        capture.add_done_callback(lambda _: self._capture_ended(capture, stream))
        received.lost.add_done_callback(lambda _: capture.cancel())
        try:
            yield
        finally:
            received.release()
            capture.cancel()
        if capture.done() and not capture.cancelled() and (error := capture.exception()) is not None:
            if isinstance(error, SidecarError):
                raise error
            raise TrackUnavailable(f"the capture of a track failed: {type(error).__name__}") from error

    def _capture_ended(self, capture: "asyncio.Task[None]", stream: rtc.AudioStream | rtc.VideoStream) -> None:
        self._captures.discard(capture)
        if not capture.cancelled():
            capture.exception()  # marked as retrieved, where the consumer was cancelled
        closing = _keep(_close(stream))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


async def _close(stream: rtc.AudioStream | rtc.VideoStream) -> None:
    closing = asyncio.create_task(stream.aclose())
    await asyncio.wait((closing,), timeout=_CLOSED_WITHIN_S)
    if not closing.done():
        log.warning("the SDK did not close a stream within %g s", _CLOSED_WITHIN_S)
        closing.cancel()
    elif not closing.cancelled() and closing.exception() is not None:
        log.warning("the SDK failed to close a stream: %s", type(closing.exception()).__name__)


_KEPT: Final[set["asyncio.Task[Any]"]] = set()
"""Tasks that close or leave something, each within a bound, and go on where the task that wanted it is cancelled."""


def _keep(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    task = asyncio.create_task(work)
    _KEPT.add(task)
    task.add_done_callback(_KEPT.discard)
    return task
