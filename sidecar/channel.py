"""The one bounded queue between tasks: its overflow policy has a name and its drops are counted."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Overflow(Enum):
    """What a full channel does with one more item."""

    WAIT = auto()
    """The sender waits for room (recordings: nothing may be lost)."""
    DROP_OLDEST = auto()
    """The oldest item is dropped and counted (live media: the newest counts)."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Counts since the channel was made."""

    sent: int
    received: int
    dropped: int
    waiting: int
    """Items in the channel now."""


class ChannelClosed(Exception):
    """Nothing more can be sent, or nothing is left to receive."""


class Channel(Generic[Item]):
    """A queue of at most `capacity` items for one receiver in one event loop."""

    def __init__(self, capacity: int, overflow: Overflow, on_drop: Callable[[Item], None] | None = None) -> None:
        if capacity < 1:
            raise ValueError("a channel holds at least one item")
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._on_drop = on_drop
        self._closed = False
        self._changed = asyncio.Condition()
        self._sent = self._received = self._dropped = 0

    def statistics(self) -> ChannelStatistics:
        return ChannelStatistics(self._sent, self._received, self._dropped, len(self._items))

    async def send(self, item: Item) -> None:
        """Put one item in; what happens when full is the channel's `Overflow`.

        Raises `ChannelClosed` once the channel is closed.
        """
        async with self._changed:
            if self._overflow is Overflow.WAIT:
                await self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise ChannelClosed
            if len(self._items) >= self._capacity:
                self._drop(self._items.popleft())
            self._items.append(item)
            self._sent += 1
            self._changed.notify_all()

    async def receive(self) -> Item:
        """Take the oldest item out, waiting for one. Raises `ChannelClosed` when closed and empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._items))
            if not self._items:
                raise ChannelClosed
            item = self._items.popleft()
            self._received += 1
            self._changed.notify_all()
            return item

    async def close(self) -> None:
        """Let the receiver finish what is queued, then end. Idempotent."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.receive()
        except ChannelClosed:
            raise StopAsyncIteration from None

    def _drop(self, item: Item) -> None:
        self._dropped += 1
        if self._on_drop is not None:
            self._on_drop(item)
