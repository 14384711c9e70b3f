"""Media as they arrive from the SDK's streams: a stream that stands still is given up, with a reason."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from livekit import rtc

from sidecar.errors import TrackUnavailable, UnsupportedCodec

Event = TypeVar("Event", rtc.AudioFrameEvent, rtc.VideoFrameEvent)

_STATISTICS_WITHIN_S: Final = 2.0


@contextmanager
def sdk_call(purpose: str) -> Iterator[None]:
    """Raise `TrackUnavailable` where a call into the SDK fails: it asserts that its native part answers, and raises
    `ValueError` and `RuntimeError` itself."""
    try:
        yield
    except (AssertionError, RuntimeError, ValueError) as error:
        raise TrackUnavailable(f"{purpose} failed in the SDK: {type(error).__name__}") from error


async def flow(
    stream: AsyncIterator[Event], publication: rtc.TrackPublication, track: rtc.Track, within_s: float
) -> AsyncGenerator[Event, None]:
    """What a stream delivers, until it ends.

    Raises `TrackUnavailable` where nothing arrives for `within_s` although the track is not muted, so that it is
    subscribed again: the server can end a subscription without the SDK noticing. Raises `UnsupportedCodec` where media
    arrive but nothing was ever decoded.
    """
    decoded = False
    while True:
        try:
            async with asyncio.timeout(within_s):
                event = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if publication.muted:
                continue
            if not decoded and await _packets_arrive(track):
                raise UnsupportedCodec(
                    f"track {publication.sid} arrives as {publication.mime_type}, which is not decoded here"
                ) from None
            raise TrackUnavailable(f"track {publication.sid} delivered nothing for {within_s:g} s") from None
        decoded = True
        yield event


async def _packets_arrive(track: rtc.Track) -> bool:
    """True where the track's packets are received, decoded or not."""
    asking = asyncio.ensure_future(track.get_stats())
    await asyncio.wait((asking,), timeout=_STATISTICS_WITHIN_S)
    if not asking.done() or asking.exception() is not None:
        asking.cancel()
        return False
    inbound = [entry.inbound_rtp for entry in asking.result() if entry.WhichOneof("stats") == "inbound_rtp"]
    return any(entry.received.packets_received > 0 for entry in inbound)
