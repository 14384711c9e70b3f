"""Subscriptions shared by the taps of a track: the first tap begins one, the last ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from livekit import rtc

from sidecar.errors import TrackUnavailable

_GONE_WITHIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class ReceivedTrack:
    """A track that arrives from the server."""

    track: rtc.RemoteTrack
    lost: asyncio.Future[None]
    """Done when nothing more arrives: the track was unpublished or unsubscribed, or the call ended."""


class Subscriptions:
    """All subscriptions of one room. Whatever arrives without a tap is refused."""

    def __init__(self, room: rtc.Room, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._subscriptions: dict[str, _Subscription] = {}
        room.on("track_subscribed", self._arrived)
        room.on("track_unsubscribed", self._left)
        room.on("track_unpublished", self._unpublished)
        room.on("track_subscription_failed", self._failed)

    @asynccontextmanager
    async def hold(self, publication: rtc.RemoteTrackPublication) -> AsyncIterator[ReceivedTrack]:
        """Receive a track for the time of the context. Raises `TrackUnavailable` where it does not arrive."""
        subscription = self._subscriptions.setdefault(publication.sid, _Subscription(publication))
        subscription.taps += 1
        try:
            yield await subscription.begin(self._timeout_s)
        finally:
            subscription.taps -= 1
            if subscription.taps == 0:
                subscription.end()

    def close(self) -> None:
        """End all subscriptions, because the call ended."""
        for subscription in self._subscriptions.values():
            subscription.lose()

    def _arrived(self, track: rtc.RemoteTrack, publication: rtc.RemoteTrackPublication) -> None:
        subscription = self._subscriptions.get(publication.sid)
        if subscription is None or subscription.taps == 0:
            publication.set_subscribed(False)  # not ours: the server subscribed us, or it crossed our leaving
        else:
            subscription.arrive(track)

    def _left(self, _track: rtc.RemoteTrack | None, publication: rtc.RemoteTrackPublication) -> None:
        subscription = self._subscriptions.get(publication.sid)
        if subscription is not None:
            subscription.leave()

    def _unpublished(self, publication: rtc.RemoteTrackPublication) -> None:
        subscription = self._subscriptions.pop(publication.sid, None)
        if subscription is not None:
            subscription.lose()

    def _failed(self, _participant: rtc.RemoteParticipant, track_sid: str, _error: str) -> None:
        subscription = self._subscriptions.get(track_sid)
        if subscription is not None:
            subscription.lose()


class _Subscription:
    """The subscription to one track. `end` acts at once, so that no cancellation can keep a track flowing."""

    def __init__(self, publication: rtc.RemoteTrackPublication) -> None:
        self.taps = 0
        self._publication = publication
        self._received: asyncio.Future[ReceivedTrack] | None = None
        self._gone: asyncio.Future[None] | None = None

    async def begin(self, timeout_s: float) -> ReceivedTrack:
        if self._gone is not None:  # an earlier subscription is still being taken down
            await asyncio.wait((self._gone,), timeout=_GONE_WITHIN_S)
            self._gone = None
        if self._received is None:
            self._received = asyncio.get_running_loop().create_future()
            self._publication.set_subscribed(True)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._received)
        raise TrackUnavailable(f"track {self._publication.sid} did not arrive within {timeout_s:g} s")

    def end(self) -> None:
        received, self._received = self._received, None
        self._publication.set_subscribed(False)
        if received is not None and received.done() and received.exception() is None:
            self._gone = asyncio.get_running_loop().create_future()

    def arrive(self, track: rtc.RemoteTrack) -> None:
        if self._received is not None and not self._received.done():
            self._received.set_result(ReceivedTrack(track, asyncio.get_running_loop().create_future()))

    def leave(self) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self.lose()

    def lose(self) -> None:
        received, self._received = self._received, None
        if received is None:
            return
        if not received.done():
            received.set_exception(TrackUnavailable(f"track {self._publication.sid} is gone"))
            received.exception()  # taken note of, even where no tap waits any more
        elif received.exception() is None and not received.result().lost.done():
            received.result().lost.set_result(None)
