"""Subscriptions shared by taps, driven by the events that the SDK's room would emit."""

import asyncio
from collections.abc import Callable

import pytest
from livekit import rtc

from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit.subscriptions import Subscriptions


class FakePublication:
    """Remembers what was asked of it, and does `when_asked` in answer to a subscription."""

    sid = "TR_1"

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.when_asked: Callable[[], object] = lambda: None

    def set_subscribed(self, subscribed: bool) -> None:
        self.asked.append(subscribed)
        if subscribed:
            asyncio.get_running_loop().call_soon(self.when_asked)


class Rig:
    def __init__(self, timeout_s: float = 5.0) -> None:
        self.room = rtc.Room()
        self.publication = FakePublication()
        self.interrupted: list[FakePublication] = []
        self.subscriptions = Subscriptions(self.room, timeout_s, self.interrupted.append)

    def arrive(self) -> object:
        track = object()
        self.room.emit("track_subscribed", track, self.publication, None)
        return track

    def leave(self) -> None:
        self.room.emit("track_unsubscribed", None, self.publication, None)

    async def asked(self, *expected: bool) -> None:
        await until(lambda: self.publication.asked == list(expected))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_first_tap_subscribes_and_the_last_unsubscribes() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication) as first:
        async with rig.subscriptions.hold(rig.publication) as second:
            assert second.track is first.track
        assert rig.publication.asked == [True]
    assert rig.publication.asked == [True, False]
    assert rig.interrupted == []


async def test_the_late_end_of_the_last_subscription_does_not_end_the_next() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication):
        rig.publication.when_asked = lambda: None
    entering = asyncio.create_task(anext(aiter_hold(rig)))
    await rig.asked(True, False, True)
    rig.leave()  # of the first
    track = rig.arrive()
    received = await entering
    assert received.track is track
    assert not received.lost.done()


async def test_a_track_taken_away_is_lost_and_may_be_opened_again() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication) as received:
        rig.leave()
        assert received.lost.done()
    assert rig.interrupted == [rig.publication]
    assert rig.publication.asked == [True], "there is nothing to unsubscribe from"


async def test_an_unpublished_track_ends_the_waiting() -> None:
    rig = Rig()
    rig.publication.when_asked = lambda: rig.room.emit("track_unpublished", rig.publication, None)
    with pytest.raises(TrackUnavailable, match="gone"):
        async with rig.subscriptions.hold(rig.publication):
            pass


async def test_a_track_that_never_comes_is_given_up_and_refused() -> None:
    rig = Rig(timeout_s=0.05)
    with pytest.raises(TrackUnavailable, match="did not arrive"):
        async with rig.subscriptions.hold(rig.publication):
            pass
    assert rig.publication.asked == [True, False]
    rig.arrive()  # after all
    assert rig.publication.asked == [True, False, False]


async def test_what_nobody_asked_for_is_refused() -> None:
    rig = Rig()
    rig.arrive()
    assert rig.publication.asked == [False]


async def test_reconnecting_delays_asking_and_repeats_refusing() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication):
        rig.room.emit("reconnecting")
    entering = asyncio.create_task(anext(aiter_hold(rig)))
    await asyncio.sleep(0)
    assert rig.publication.asked == [True, False]
    entering.cancel()
    await asyncio.wait((entering,))
    rig.room.emit("reconnected")
    assert rig.publication.asked == [True, False, False], "the refusal may have been lost"


async def aiter_hold(rig: Rig):
    async with rig.subscriptions.hold(rig.publication) as received:
        yield received
