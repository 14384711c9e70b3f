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
        self.broken = False

    def set_subscribed(self, subscribed: bool) -> None:
        assert not self.broken, "what the SDK does when its native part does not answer"
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


async def test_letting_go_unsubscribes_at_once_and_once() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication) as received:
        received.release()
        assert rig.publication.asked == [True, False], "before anything of the tap has closed"
        received.release()
    assert rig.publication.asked == [True, False]


async def test_a_tap_that_is_cancelled_unsubscribes_at_once() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive

    async def tap() -> None:
        async with rig.subscriptions.hold(rig.publication):
            await asyncio.Event().wait()

    tapping = asyncio.create_task(tap())
    await rig.asked(True)
    tapping.cancel()
    await asyncio.wait((tapping,))
    assert rig.publication.asked == [True, False]


async def test_a_publication_that_the_sdk_no_longer_knows_does_no_harm() -> None:
    rig = Rig()
    rig.publication.broken = True
    with pytest.raises(TrackUnavailable):
        async with rig.subscriptions.hold(rig.publication):
            pass
    rig.arrive()
    rig.publication.broken = False
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication):
        rig.publication.broken = True
    rig.room.emit("reconnected")
    assert len(rig.interrupted) == 1


async def test_a_track_that_keeps_failing_is_asked_for_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.publication.when_asked = lambda: rig.room.emit("track_subscription_failed", None, "TR_1", "no such codec")
    pauses_s: list[float] = []
    clock = VirtualLoopTime(monkeypatch, pauses_s)
    for _ in range(10):
        with pytest.raises(TrackUnavailable, match="no such codec"):
            async with rig.subscriptions.hold(rig.publication):
                pass
    assert [round(pause_s) for pause_s in pauses_s if pause_s > 0] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    rig.publication.when_asked = rig.arrive
    for _ in range(2):
        async with rig.subscriptions.hold(rig.publication):
            pass
    assert pauses_s[-1] == pytest.approx(0.3, abs=0.01), "a tap that worked makes the track an ordinary one"
    clock.restore()


class VirtualLoopTime:
    """The event loop's time, on which the pauses between subscriptions take no real time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pauses_s: list[float]) -> None:
        self._monkeypatch = monkeypatch
        passed_s = 0.0
        loop, sleep = asyncio.get_running_loop(), asyncio.sleep
        now = loop.time

        async def pause(seconds: float) -> None:
            nonlocal passed_s
            pauses_s.append(seconds)
            passed_s += max(0.0, seconds)
            await sleep(0)

        monkeypatch.setattr(loop, "time", lambda: now() + passed_s)
        monkeypatch.setattr(asyncio, "sleep", pause)

    def restore(self) -> None:
        self._monkeypatch.undo()


async def test_after_the_end_of_the_call_nothing_is_held_and_no_handler_is_left() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication) as received:
        rig.room.emit("disconnected", rtc.DisconnectReason.ROOM_DELETED)
        assert received.lost.done()
    assert rig.interrupted == [], "there is no room to open it in again"
    assert not any(rig.room._events.values())
    with pytest.raises(TrackUnavailable, match="call ended"):
        async with rig.subscriptions.hold(rig.publication):
            pass


async def test_a_track_published_again_under_its_sid_is_subscribed_by_its_new_publication() -> None:
    rig = Rig()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication):
        pass
    rig.publication = FakePublication()
    rig.publication.when_asked = rig.arrive
    async with rig.subscriptions.hold(rig.publication) as received:
        assert not received.lost.done()
    assert rig.publication.asked == [True, False]


async def aiter_hold(rig: Rig):
    async with rig.subscriptions.hold(rig.publication) as received:
        yield received
