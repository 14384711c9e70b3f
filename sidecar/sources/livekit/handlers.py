"""Handlers on the SDK's room, taken off again when the room is left."""

from collections.abc import Callable, Mapping
from typing import Any

from livekit import rtc
from livekit.rtc.room import EventTypes


class Handlers:
    """The handlers that one part of the source has on a room. A handler must not raise: the SDK would log its event,
    which names people."""

    def __init__(self, room: rtc.Room, handlers: Mapping[EventTypes, Callable[..., Any]]) -> None:
        self._room = room
        self._handlers = dict(handlers)
        for event, handler in self._handlers.items():
            room.on(event, handler)

    def close(self) -> None:
        """Take them all off. Idempotent."""
        while self._handlers:
            self._room.off(*self._handlers.popitem())
