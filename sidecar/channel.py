"""The bounded queue between tasks: its overflow policy has a name and its drops are counted."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Overflow(Enum):
    """What happens when an item is added to a full channel."""

    WAIT = auto()
    """`send` waits for room (recordings: nothing may be lost)."""
    DROP_OLDEST = auto()
    """The oldest item is dropped and counted (live media: the newest counts)."""
    REFUSE = auto()
    """The new item is refused and counted; `put` returns False (the sender decides what that means)."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Counts since the channel was made."""

    sent: int
    received: int
    dropped: int
    """Items dropped or refused."""
    waiting: int
    """Items in the channel now."""


class ChannelClosed(Exception):
    """Nothing more can be sent, or nothing is left to receive."""


class Channel(Generic[Item]):
    """A queue of at most `capacity` items in one event loop.

    `on_drop` is called with each item that is dropped or refused, after the new item is in its place, so that it may
    add to the channel again without disturbing the order.
    """

    def __init__(self, capacity: int, overflow: Overflow, on_drop: Callable[[Item], None] | None = None) -> None:
        if capacity < 1:
            raise ValueError("a channel holds at least one item")
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._on_drop = on_drop
        self._closed = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._sent = self._received = self._dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        """True once nothing more can be sent."""
        return self._closed

    def statistics(self) -> ChannelStatistics:
        return ChannelStatistics(self._sent, self._received, self._dropped, len(self._items))

    def put(self, item: Item) -> bool:
        """Add one item at once; False where it is refused. Not for channels whose senders wait (`send`).

        Raises `ChannelClosed` once the channel is closed.
        """
        if self._closed:
            raise ChannelClosed
        full = len(self._items) >= self._capacity
        if full and self._overflow is not Overflow.DROP_OLDEST:
            self._drop(item)
            return False
        oldest = self._items.popleft() if full else None
        self._append(item)
        if oldest is not None:
            self._drop(oldest)
        return True

    async def send(self, item: Item) -> None:
        """Add one item; what happens when full is the channel's `Overflow`.

        Raises `ChannelClosed` once the channel is closed.
        """
        if self._overflow is not Overflow.WAIT:
            self.put(item)
            return
        while not self._closed and len(self._items) >= self._capacity:
            self._emptied.clear()
            await self._emptied.wait()
        if self._closed:
            raise ChannelClosed
        self._append(item)

    def take(self) -> Item | None:
        """The oldest item, removed, or None where there is none."""
        if not self._items:
            return None
        self._received += 1
        item = self._items.popleft()
        self._emptied.set()
        return item

    def peek(self) -> Item | None:
        """The oldest item, which stays, or None where there is none."""
        return self._items[0] if self._items else None

    def remove(self, item: Item) -> bool:
        """Take one item out of its place, uncounted; False where it is no longer in the channel."""
        try:
            self._items.remove(item)
        except ValueError:
            return False
        self._emptied.set()
        return True

    async def wait(self) -> None:
        """Return once there is an item or the channel is closed."""
        while not self._items and not self._closed:
            self._filled.clear()
            await self._filled.wait()

    async def receive(self) -> Item:
        """Take the oldest item out, waiting for one. Raises `ChannelClosed` when closed and empty."""
        while True:
            await self.wait()
            if self._items:  # another receiver may have been faster
                item = self._items.popleft()
                self._received += 1
                self._emptied.set()
                return item
            if self._closed:
                raise ChannelClosed

    def close(self) -> None:
        """Let the receiver finish what is queued, then end. Idempotent."""
        self._closed = True
        self._filled.set()
        self._emptied.set()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.receive()
        except ChannelClosed:
            raise StopAsyncIteration from None

    def _append(self, item: Item) -> None:
        self._items.append(item)
        self._sent += 1
        self._filled.set()

    def _drop(self, item: Item) -> None:
        self._dropped += 1
        if self._on_drop is not None:
            self._on_drop(item)
