"""Streams that stand still are given up, with the reason."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from sidecar.errors import TrackUnavailable, UnsupportedCodec
from sidecar.sources.livekit.flow import flow, sdk_call

WITHIN_S = 0.05


class FakeTrack:
    """Received `packets`; asked for its statistics it answers, fails or hangs."""

    def __init__(self, packets: int = 0, error: Exception | None = None) -> None:
        self._packets = packets
        self._error = error

    async def get_stats(self) -> list[Any]:
        if self._error is not None:
            raise self._error
        inbound = SimpleNamespace(received=SimpleNamespace(packets_received=self._packets))
        other = SimpleNamespace(WhichOneof=lambda _: "codec")
        return [other, SimpleNamespace(WhichOneof=lambda _: "inbound_rtp", inbound_rtp=inbound)]


class FakeStream:
    """Delivers `units` numbers, then ends or stands still; a wait that is cancelled loses nothing, as in the SDK."""

    def __init__(self, units: int, then_hang: bool = True) -> None:
        self._units = iter(range(units))
        self._then_hang = then_hang

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for unit in self._units:
            return unit
        if self._then_hang:
            await asyncio.Event().wait()
        raise StopAsyncIteration


def publication(muted: bool = False) -> Any:
    return SimpleNamespace(sid="TR_1", mime_type="video/H265", muted=muted)


async def received(units: int, track: Any, then_hang: bool = True) -> list[Any]:
    return [unit async for unit in flow(FakeStream(units, then_hang), publication(), track, WITHIN_S)]


async def test_a_stream_ends_as_it_ends() -> None:
    assert await received(3, FakeTrack(), then_hang=False) == [0, 1, 2]


async def test_media_that_arrive_and_are_never_decoded_have_an_unsupported_codec() -> None:
    with pytest.raises(UnsupportedCodec, match="video/H265"):
        await received(0, FakeTrack(packets=9))


@pytest.mark.parametrize(
    ("units", "track"),
    [
        (0, FakeTrack()),
        (0, FakeTrack(error=Exception("the room is closed"))),
        (0, FakeTrack(error=AssertionError())),
        (3, FakeTrack(packets=9)),
    ],
)
async def test_a_track_that_delivers_nothing_is_given_up(units: int, track: FakeTrack) -> None:
    with pytest.raises(TrackUnavailable, match="delivered nothing") as caught:
        await received(units, track)
    assert not isinstance(caught.value, UnsupportedCodec)


async def test_a_muted_track_may_be_silent() -> None:
    units = flow(FakeStream(1), publication(muted=True), FakeTrack(), WITHIN_S)  # type: ignore[arg-type]
    await anext(units)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(units), 5 * WITHIN_S)


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("after a fork"), ValueError("not simulcasted")])
def test_what_the_sdk_raises_becomes_an_unavailable_track(error: Exception) -> None:
    with pytest.raises(TrackUnavailable, match="asking failed in the SDK"), sdk_call("asking"):
        raise error


async def test_the_sdk_asserts_that_its_native_part_answers() -> None:
    """What `sdk_call` is for: a handle that does not exist."""
    from tests.sources.sdk import publication as of_no_room

    with pytest.raises(TrackUnavailable), sdk_call("subscribing"):
        of_no_room("TR_1").set_subscribed(True)
    assert issubclass(rtc.StreamError, ConnectionError)
