"""Subscriptions shared by the taps of a track: the first tap begins one, the last ends it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from livekit import rtc

from sidecar.errors import TrackUnavailable

_APART_S: Final = 0.3
_ASK_AGAIN_S: Final = 5.0
"""A subscription that follows the end of the last one at once is sometimes never answered by the server: both are kept
apart, and what does not come is asked for again. Not too soon, as asking again undoes what is under way."""


@dataclass(frozen=True, slots=True)
class ReceivedTrack:
    """A track that arrives from the server."""

    track: rtc.RemoteTrack
    lost: asyncio.Future[None]
    """Done when nothing more arrives: the track was unpublished or unsubscribed, or the call ended."""


class Subscriptions:
    """All subscriptions of one room. Whatever arrives without a tap is refused.

    `interrupted` is told of each track whose taps ended although it is still published: it may be opened again.
    """

    def __init__(
        self, room: rtc.Room, timeout_s: float, interrupted: Callable[[rtc.RemoteTrackPublication], None]
    ) -> None:
        self._timeout_s = timeout_s
        self._interrupted = interrupted
        self._online = asyncio.Event()  # what is asked for during a reconnection gets lost
        self._online.set()
        self._subscriptions: dict[str, _Subscription] = {}
        room.on("track_subscribed", self._arrived)
        room.on("track_unsubscribed", self._left)
        room.on("track_unpublished", self._unpublished)
        room.on("track_subscription_failed", self._failed)
        room.on("reconnecting", self._online.clear)
        room.on("reconnected", self._reconnected)

    @asynccontextmanager
    async def hold(self, publication: rtc.RemoteTrackPublication) -> AsyncIterator[ReceivedTrack]:
        """Receive a track for the time of the context. Raises `TrackUnavailable` where it does not arrive."""
        subscription = self._subscriptions.setdefault(publication.sid, _Subscription(publication))
        subscription.taps += 1
        try:
            received = await self._begin(subscription)
            yield received
            if received.lost.done():
                self._interrupted(publication)
        except TrackUnavailable:
            self._interrupted(publication)
            raise
        finally:
            subscription.taps -= 1
            if subscription.taps == 0:
                subscription.end()

    def close(self) -> None:
        """End all subscriptions, because the call ended."""
        for subscription in self._subscriptions.values():
            subscription.lose()

    async def _begin(self, subscription: "_Subscription") -> ReceivedTrack:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._online.wait()
                return await subscription.begin()
        except TimeoutError:
            sid = subscription.publication.sid
            raise TrackUnavailable(f"track {sid} did not arrive within {self._timeout_s:g} s") from None

    def _reconnected(self) -> None:
        self._online.set()
        for subscription in self._subscriptions.values():
            if subscription.taps == 0:
                subscription.publication.set_subscribed(False)

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
        self.publication = publication
        self._received: asyncio.Future[ReceivedTrack] | None = None
        self._asked_s = float("-inf")
        self._ended_s = float("-inf")
        self._leaving = False  # the end of an earlier subscription is still to be told, perhaps after we began anew

    async def begin(self) -> ReceivedTrack:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._ended_s + _APART_S - clock())
        if self._received is None:
            self._received = asyncio.get_running_loop().create_future()
            self._asked_s = clock()
            self.publication.set_subscribed(True)
        received = self._received
        while not (await asyncio.wait((received,), timeout=_ASK_AGAIN_S))[0]:
            if clock() - self._asked_s >= _ASK_AGAIN_S:  # else another tap has just asked
                self._asked_s = clock()
                self.publication.set_subscribed(False)
                await asyncio.sleep(_APART_S)
                self.publication.set_subscribed(True)
        return received.result()

    def end(self) -> None:
        received, self._received = self._received, None
        if received is not None:  # else lost before
            self._ended_s = asyncio.get_running_loop().time()
            self._leaving = received.done()
            self.publication.set_subscribed(False)

    def arrive(self, track: rtc.RemoteTrack) -> None:
        self._leaving = False
        if self._received is not None and not self._received.done():
            self._received.set_result(ReceivedTrack(track, asyncio.get_running_loop().create_future()))

    def leave(self) -> None:
        if self._leaving:
            self._leaving = False
        else:
            self.lose()

    def lose(self) -> None:
        received, self._received = self._received, None
        if received is None:
            return
        if not received.done():
            received.set_exception(TrackUnavailable(f"track {self.publication.sid} is gone"))
            received.exception()  # taken note of, even where no tap waits any more
        elif received.exception() is None and not received.result().lost.done():
            received.result().lost.set_result(None)
