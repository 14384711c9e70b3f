"""Joining and leaving a room through an SDK that fails or hangs."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from livekit import rtc

from sidecar.clock import SystemClock
from sidecar.errors import CredentialsRefused, TrackUnavailable, Unavailable
from sidecar.sources.livekit import LiveKitCall, LiveKitOptions, call
from sidecar.sources.livekit.subscriptions import ReceivedTrack
from sidecar.telemetry import Telemetry

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


class FakeSdk:
    """Stands for the SDK's `connect` and `disconnect`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: rtc.Room | None = None
        self.connecting: Callable[[], Awaitable[None]] = nothing
        self.disconnecting: Callable[[], Awaitable[None]] = nothing
        self.left = 0
        monkeypatch.setattr(call, "_LEFT_WITHIN_S", 0.05)
        monkeypatch.setattr(call, "_CLOSED_WITHIN_S", 0.05)
        monkeypatch.setattr(rtc.Room, "connect", lambda room, url, token, options: self._connect(room))
        monkeypatch.setattr(rtc.Room, "disconnect", lambda room: self._disconnect())

    async def _connect(self, room: rtc.Room) -> None:
        self.room = room
        await self.connecting()

    async def _disconnect(self) -> None:
        self.left += 1
        await self.disconnecting()


async def nothing() -> None:
    pass


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> FakeSdk:
    return FakeSdk(monkeypatch)


def a_call(join_timeout_s: float = 0.1) -> LiveKitCall:
    options = LiveKitOptions(join_timeout_s=join_timeout_s)
    return LiveKitCall("ws://sfu", TOKEN, options, clock=SystemClock(), telemetry=Telemetry(), epoch_started_s=0.0)


async def settled() -> None:
    async with asyncio.timeout(2):
        while call._KEPT:
            await asyncio.wait(call._KEPT)


def assert_nothing_left(sdk: FakeSdk) -> None:
    assert sdk.room is not None
    assert not any(sdk.room._events.values())
    assert not sdk.room._text_stream_handlers
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, others


async def test_a_server_that_never_answers_is_unavailable_and_left_when_it_does(sdk: FakeSdk) -> None:
    answer = asyncio.Event()

    async def late() -> None:
        await answer.wait()

    sdk.connecting = late
    with pytest.raises(Unavailable, match=r"did not answer within 0\.1 s"):
        async with a_call():
            pass
    assert sdk.left == 0
    answer.set()
    await settled()
    assert sdk.left == 1, "the SDK joined after the cancellation"
    assert_nothing_left(sdk)


async def test_joining_can_be_cancelled_at_once(sdk: FakeSdk) -> None:
    answer = asyncio.Event()

    async def late() -> None:
        await answer.wait()

    sdk.connecting = late
    joining = asyncio.create_task(a_call(join_timeout_s=60.0).__aenter__())
    await asyncio.sleep(0.01)
    joining.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait((joining,))
    assert joining.cancelled()
    answer.set()
    await settled()
    assert sdk.left == 1
    assert_nothing_left(sdk)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (rtc.ConnectError(f"HTTP 401: {TOKEN}"), CredentialsRefused),
        (rtc.ConnectError(f"refused: {TOKEN}"), Unavailable),
        (AssertionError(), Unavailable),
        (RuntimeError("livekit.rtc was used before fork()"), Unavailable),
        (Exception("participant already exists"), Unavailable),
    ],
)
async def test_whatever_joining_raises_is_translated(sdk: FakeSdk, error: Exception, expected: type) -> None:
    async def fail() -> None:
        raise error

    sdk.connecting = fail
    with pytest.raises(expected) as caught:
        async with a_call():
            pass
    assert "eyJ" not in str(caught.value)
    await settled()
    assert_nothing_left(sdk)


@pytest.mark.parametrize("trouble", ["hangs", "raises"])
async def test_leaving_is_bounded(sdk: FakeSdk, trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise AssertionError

    sdk.disconnecting = hang if trouble == "hangs" else fail
    async with asyncio.timeout(1):
        async with a_call():
            pass
    await settled()
    assert "leave a room" in caplog.text
    assert_nothing_left(sdk)


async def test_leaving_goes_on_where_it_is_cancelled(sdk: FakeSdk) -> None:
    slow = asyncio.Event()

    async def late() -> None:
        await slow.wait()

    async def visit() -> None:
        async with a_call():
            pass

    sdk.disconnecting = late
    visiting = asyncio.create_task(visit())
    while not sdk.left:
        await asyncio.sleep(0)
    visiting.cancel()
    await asyncio.wait((visiting,))
    slow.set()
    await settled()
    assert_nothing_left(sdk)


class FakeStream:
    def __init__(self, closing: Callable[[], Awaitable[None]] = nothing) -> None:
        self.closing = closing
        self.closes = 0

    async def aclose(self) -> None:
        self.closes += 1
        await self.closing()


class FakeSubscription:
    def __init__(self) -> None:
        self.released = False
        self.received = ReceivedTrack(None, asyncio.get_running_loop().create_future(), self._release)  # type: ignore[arg-type]

    def _release(self) -> None:
        self.released = True


async def test_a_stream_that_does_not_close_holds_up_nothing_but_leaving(sdk: FakeSdk) -> None:
    subscription, stream = FakeSubscription(), FakeStream(hang)
    async with a_call() as observed:
        async with observed._captured(hang(), stream, subscription.received):  # type: ignore[arg-type]
            pass
        assert subscription.released
        assert stream.closes == 0, "closing has not even begun"
    assert stream.closes == 1
    await settled()
    assert_nothing_left(sdk)


async def test_what_fails_in_a_capture_ends_that_tap_alone(sdk: FakeSdk) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    subscription, stream = FakeSubscription(), FakeStream()
    async with a_call() as observed:
        with pytest.raises(TrackUnavailable, match="ZeroDivisionError"):
            async with observed._captured(fail(), stream, subscription.received):  # type: ignore[arg-type]
                await asyncio.sleep(0)
        assert subscription.released
    await settled()
    assert stream.closes == 1


async def test_streams_are_closed_before_the_room_is_left(sdk: FakeSdk) -> None:
    order = []

    async def disconnect() -> None:
        order.append("left")

    async def close() -> None:
        order.append("closed")

    async def consume(observed: LiveKitCall) -> None:
        async with observed._captured(hang(), FakeStream(close), FakeSubscription().received):  # type: ignore[arg-type]
            await hang()

    sdk.disconnecting = disconnect
    async with a_call() as observed:
        consumer = asyncio.create_task(consume(observed))
        await asyncio.sleep(0)
        consumer.cancel()
    await asyncio.wait((consumer,))
    assert order == ["closed", "left"]
    await settled()
