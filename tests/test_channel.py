import asyncio

import pytest

from sidecar.channel import Channel, ChannelClosed, ChannelStatistics, Overflow
from tests.fakes.clock import settle


async def test_in_order_until_closed_and_empty():
    channel = Channel(4, Overflow.WAIT)
    for item in (1, 2, 3):
        await channel.send(item)
    await channel.close()
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
    await channel.close()
    with pytest.raises(ChannelClosed):
        await sending


def test_a_channel_holds_something():
    with pytest.raises(ValueError, match="at least one"):
        Channel(0, Overflow.WAIT)
