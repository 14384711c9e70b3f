import asyncio

import pytest

from sidecar.channel import Channel, ChannelClosed, ChannelStatistics, Overflow
from tests.fakes.clock import settle


async def test_in_order_until_closed_and_empty():
    channel = Channel(4, Overflow.WAIT)
    for item in (1, 2, 3):
        await channel.send(item)
    channel.close()
    assert [item async for item in channel] == [1, 2, 3]
    with pytest.raises(ChannelClosed):
        await channel.send(4)
    with pytest.raises(ChannelClosed):
        await channel.receive()


async def test_dropping_the_oldest_counts_and_tells():
    dropped = []
    channel = Channel(2, Overflow.DROP_OLDEST, dropped.append)
    for item in range(5):
        await channel.send(item)
    assert dropped == [0, 1, 2]
    assert channel.statistics() == ChannelStatistics(sent=5, received=0, dropped=3, waiting=2)
    assert await channel.receive() == 3


async def test_a_waiting_sender_goes_on_when_there_is_room():
    channel = Channel(1, Overflow.WAIT)
    await channel.send("first")
    sending = asyncio.create_task(channel.send("second"))
    await settle()
    assert not sending.done()
    assert await channel.receive() == "first"
    await sending
    assert await channel.receive() == "second"


async def test_closing_wakes_a_waiting_sender():
    channel = Channel(1, Overflow.WAIT)
    await channel.send("first")
    sending = asyncio.create_task(channel.send("second"))
    await settle()
    channel.close()
    with pytest.raises(ChannelClosed):
        await sending


def test_a_channel_holds_something():
    with pytest.raises(ValueError, match="at least one"):
        Channel(0, Overflow.WAIT)


def test_a_refusing_channel_keeps_what_it_has_and_counts():
    refused = []
    channel = Channel(2, Overflow.REFUSE, refused.append)
    assert [channel.put(item) for item in (1, 2, 3)] == [True, True, False]
    assert refused == [3]
    assert [channel.take(), channel.take(), channel.take()] == [1, 2, None]
    assert channel.statistics() == ChannelStatistics(sent=2, received=2, dropped=1, waiting=0)


def test_what_a_drop_adds_comes_after_the_item_that_caused_it():
    channel: Channel[str] = Channel(2, Overflow.DROP_OLDEST)
    channel._on_drop = lambda item: channel.put("gap") if item == "a" else None
    for item in ("a", "b", "c"):
        channel.put(item)
    assert [channel.take(), channel.take()] == ["c", "gap"]


async def test_waiting_ends_with_an_item_or_the_close():
    channel = Channel(2, Overflow.DROP_OLDEST)
    waiting = asyncio.create_task(channel.wait())
    await settle()
    assert not waiting.done()
    channel.put("item")
    await waiting
    assert channel.peek() == "item"
    assert channel.remove("item")
    assert not channel.remove("item")
    waiting = asyncio.create_task(channel.wait())
    await settle()
    channel.close()
    await waiting
    with pytest.raises(ChannelClosed):
        channel.put("late")
