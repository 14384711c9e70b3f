"""Subscriptions shared by the taps of a track: the first tap begins one, the last ends it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from livekit import rtc

from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit.flow import sdk_call
from sidecar.sources.livekit.handlers import Handlers

log = logging.getLogger(__name__)

_APART_S: Final = 0.3
_ASK_AGAIN_S: Final = 5.0
"""A subscription that follows the end of the last one at once is sometimes never answered by the server: both are kept
apart, and what does not come is asked for again. Not too soon, as asking again undoes what is under way."""
_FAILED_APART_S: Final = 1.0
_LONGEST_APART_S: Final = 60.0
"""A track that keeps failing (subscription refused, nothing delivered) is asked for after 1 s, 2 s, ... 60 s."""
_STEADY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ReceivedTrack:
    """A track that arrives from the server, as one tap holds it."""

    track: rtc.RemoteTrack
    lost: asyncio.Future[None]
    """Done when nothing more arrives: the track was unpublished or unsubscribed, or the call ended."""
    release: Callable[[], None]
    """Let go: the last tap to do so ends the subscription at once, so that nothing is sent to us while it closes.
    Idempotent."""


class Subscriptions:
    """All subscriptions of one room. Tracks that arrive without a tap are refused.

    `interrupted` is called with each track whose taps ended although it is still published: it may be opened again.
    """

    def __init__(
        self, room: rtc.Room, timeout_s: float, interrupted: Callable[[rtc.RemoteTrackPublication], None]
    ) -> None:
        self._timeout_s = timeout_s
        self._interrupted = interrupted
        self._online = asyncio.Event()  # what is asked for during a reconnection gets lost
        self._online.set()
        self._closed = False
        self._subscriptions: dict[str, _Subscription] = {}
        self._handlers = Handlers(
            room,
            {
                "track_subscribed": self._arrived,
                "track_unsubscribed": self._left,
                "track_unpublished": self._unpublished,
                "track_subscription_failed": self._failed,
                "reconnecting": self._online.clear,
                "reconnected": self._reconnected,
                "disconnected": self.close,
            },
        )

    @asynccontextmanager
    async def hold(self, publication: rtc.RemoteTrackPublication) -> AsyncIterator[ReceivedTrack]:
        """Receive a track for the time of the context. Raises `TrackUnavailable` where it does not arrive."""
        if self._closed:
            raise TrackUnavailable("the call ended")
        subscription = self._subscription(publication)
        release = subscription.hold()
        try:
            track, lost = await self._begin(subscription)
            yield ReceivedTrack(track, lost, release)
            if lost.done():
                self._fail(subscription)
        except TrackUnavailable:
            self._fail(subscription)
            raise
        finally:
            release()

    def close(self) -> None:
        """End all subscriptions, because the call ended. Idempotent."""
        self._closed = True
        self._handlers.close()
        for subscription in self._subscriptions.values():
            subscription.lose("the call ended")

    def _subscription(self, publication: rtc.RemoteTrackPublication) -> "_Subscription":
        subscription = self._subscriptions.get(publication.sid)
        if subscription is None or (subscription.taps == 0 and subscription.publication is not publication):
            subscription = self._subscriptions[publication.sid] = _Subscription(publication)
        return subscription

    async def _begin(self, subscription: "_Subscription") -> tuple[rtc.RemoteTrack, asyncio.Future[None]]:
        await subscription.pause()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._online.wait()
                return await subscription.begin()
        except TimeoutError:
            sid = subscription.publication.sid
            raise TrackUnavailable(f"track {sid} did not arrive within {self._timeout_s:g} s") from None

    def _fail(self, subscription: "_Subscription") -> None:
        subscription.failed = True
        if not self._closed:
            self._interrupted(subscription.publication)

    def _reconnected(self) -> None:
        self._online.set()
        for subscription in self._subscriptions.values():
            if subscription.taps == 0:
                _unsubscribe(subscription.publication)

    def _arrived(self, track: rtc.RemoteTrack, publication: rtc.RemoteTrackPublication) -> None:
        subscription = self._subscriptions.get(publication.sid)
        if subscription is None or subscription.taps == 0:
            _unsubscribe(publication)  # not ours: the server subscribed us, or it crossed our leaving
        else:
            subscription.arrive(track)

    def _left(self, _track: rtc.RemoteTrack | None, publication: rtc.RemoteTrackPublication) -> None:
        subscription = self._subscriptions.get(publication.sid)
        if subscription is not None:
            subscription.leave()

    def _unpublished(self, publication: rtc.RemoteTrackPublication) -> None:
        subscription = self._subscriptions.pop(publication.sid, None)
        if subscription is not None:
            subscription.lose("it was unpublished")

    def _failed(self, _participant: rtc.RemoteParticipant, track_sid: str, error: str) -> None:
        subscription = self._subscriptions.get(track_sid)
        if subscription is not None:
            subscription.lose(f"the server refused it ({error})")


class _Subscription:
    """The subscription to one track. It ends at once, so that no cancellation can keep a track flowing."""

    def __init__(self, publication: rtc.RemoteTrackPublication) -> None:
        self.taps = 0
        self.publication = publication
        self.failed = False
        """Set where a tap did not end by its own will."""
        self._received: asyncio.Future[tuple[rtc.RemoteTrack, asyncio.Future[None]]] | None = None
        self._asked_s = float("-inf")
        self._ended_s = float("-inf")
        self._apart_s = _APART_S
        self._leaving = False  # the end of an earlier subscription is still to come, perhaps after the next has begun

    def hold(self) -> Callable[[], None]:
        """Add a tap; returns what takes it away again, once."""
        self.taps += 1
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self.taps -= 1
                if self.taps == 0:
                    self._end()

        return release

    async def pause(self) -> None:
        """Wait for as long as the last subscription and the next are to be apart."""
        await asyncio.sleep(self._ended_s + self._apart_s - asyncio.get_running_loop().time())

    async def begin(self) -> tuple[rtc.RemoteTrack, asyncio.Future[None]]:
        clock = asyncio.get_running_loop().time
        received = self._received
        if received is None:
            received = self._received = asyncio.get_running_loop().create_future()
            self._asked_s = clock()
            self._subscribe()
        while not (await asyncio.wait((received,), timeout=_ASK_AGAIN_S))[0]:
            if clock() - self._asked_s >= _ASK_AGAIN_S:  # else another tap has just asked
                self._asked_s = clock()
                _unsubscribe(self.publication)
                await asyncio.sleep(_APART_S)
                self._subscribe()
        return received.result()

    def arrive(self, track: rtc.RemoteTrack) -> None:
        self._leaving = False
        if self._received is not None and not self._received.done():
            self._received.set_result((track, asyncio.get_running_loop().create_future()))

    def leave(self) -> None:
        if self._leaving:
            self._leaving = False
        else:
            self.lose("the server ended its subscription")

    def lose(self, reason: str) -> None:
        received, self._received = self._received, None
        if received is None:
            return
        if not received.done():
            received.set_exception(TrackUnavailable(f"track {self.publication.sid} is gone: {reason}"))
            received.exception()  # marked as retrieved, even where no tap waits any more
        elif received.exception() is None and not received.result()[1].done():
            received.result()[1].set_result(None)

    def _subscribe(self) -> None:
        try:
            with sdk_call(f"subscribing to track {self.publication.sid}"):
                self.publication.set_subscribed(True)
        except TrackUnavailable as error:
            self.lose(str(error))

    def _end(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._space(now_s)
        received, self._received = self._received, None
        self._ended_s = now_s
        if received is not None:  # else lost before
            self._leaving = received.done()
            _unsubscribe(self.publication)

    def _space(self, now_s: float) -> None:
        """Choose how far the next subscription is to be from this one."""
        if not self.failed:
            self._apart_s = _APART_S
        elif now_s - self._asked_s >= _STEADY_S:
            self._apart_s = _FAILED_APART_S
        else:
            self._apart_s = min(max(2 * self._apart_s, _FAILED_APART_S), _LONGEST_APART_S)
        self.failed = False


def _unsubscribe(publication: rtc.RemoteTrackPublication) -> None:
    """Never raises: it runs where a tap ends and where the SDK calls us."""
    try:
        with sdk_call(f"unsubscribing from track {publication.sid}"):
            publication.set_subscribed(False)
    except TrackUnavailable as error:
        log.warning("%s", error)
