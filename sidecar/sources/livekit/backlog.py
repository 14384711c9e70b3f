"""The call events that have not been read yet."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Final

from sidecar.types import (
    CallEnded,
    CallEvent,
    Participant,
    ParticipantChanged,
    ParticipantLeft,
    TrackChanged,
    TrackEnded,
)

_STATES: Final = 2


class Backlog:
    """Unread call events, oldest first; newer news of a person or track replaces older news.

    This is no `Channel`: with a capacity in events, a room would end because many people are in it. Its bound is the
    number of people and tracks. Of each person at most one departure and two states wait, of each track its end and its
    newest state. When a third state of a person arrives, the two before it become one state without attributes, so that
    a consent withdrawn in between is withdrawn, however late it is read. A person or track that came and went unread
    leaves no event. Tracks of people who have left are ignored. `on_drop` is called with each event that is replaced or
    left out.
    """

    def __init__(self, on_drop: Callable[[CallEvent], None]) -> None:
        self._on_drop = on_drop
        self._numbers = count()
        self._events: OrderedDict[int, CallEvent] = OrderedDict()
        self._waiting: dict[str, list[int]] = {}  # numbers in `_events`, by identity
        self._read: dict[str, set[str]] = {}  # sids of the tracks that the reader knows, by identities that it knows
        self._leaving: set[str] = set()  # identities whose departure waits
        self._ended = False
        self._filled = asyncio.Event()

    @property
    def ended(self) -> bool:
        """True once a `CallEnded` was added."""
        return self._ended

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: CallEvent) -> None:
        """Add an event; nothing is added after a `CallEnded`."""
        if self._ended:
            return self._on_drop(event)
        match event:
            case ParticipantChanged(participant):
                self._put_state(participant.identity, event)
            case ParticipantLeft(identity):
                self._put_departure(identity, event)
            case TrackChanged(track):
                self._put_track(track.identity, track.sid, event)
            case TrackEnded(track):
                self._put_track_end(track.identity, track.sid, event)
            case CallEnded():
                self._ended = True
                self._append(None, event)
            case _:  # transcripts: the source bounds how many are open
                self._append(None, event)
        return None

    async def get(self) -> CallEvent:
        """The oldest event, once there is one."""
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        number, event = self._events.popitem(last=False)
        self._note(event, number)
        return event

    def _note(self, event: CallEvent, number: int) -> None:
        """Remember what the reader knows from now on."""
        match event:
            case ParticipantChanged(participant):
                identity = participant.identity
                self._read.setdefault(identity, set())
            case ParticipantLeft(identity):
                self._read.pop(identity, None)
                self._leaving.discard(identity)
            case TrackChanged(track):
                identity = track.identity
                self._read[identity].add(track.sid)
            case TrackEnded(track):
                identity = track.identity
                self._read[identity].discard(track.sid)
            case _:
                return
        self._forget(identity, number)

    def _put_state(self, identity: str, event: ParticipantChanged) -> None:
        states = [n for n in self._waiting.get(identity, ()) if isinstance(self._events[n], ParticipantChanged)]
        if len(states) < _STATES:
            return self._append(identity, event)
        withdrawn = Participant(identity, event.participant.kind, {})
        self._replace(states[0], ParticipantChanged(withdrawn))
        return self._replace(states[1], event)

    def _put_departure(self, identity: str, event: ParticipantLeft) -> None:
        for number in self._waiting.pop(identity, ()):
            self._on_drop(self._events.pop(number))
        if identity in self._read:
            self._leaving.add(identity)
            self._append(identity, event)

    def _put_track(self, identity: str, sid: str, event: TrackChanged) -> None:
        number = self._find(identity, sid, TrackChanged)
        if number is not None:
            self._replace(number, event)
        elif self._is_present(identity):
            self._append(identity, event)
        else:
            self._on_drop(event)

    def _put_track_end(self, identity: str, sid: str, event: TrackEnded) -> None:
        number = self._find(identity, sid, TrackChanged)
        if number is not None:
            self._on_drop(self._events.pop(number))
            self._forget(identity, number)
        known = identity not in self._leaving and sid in self._read.get(identity, ())
        if known and self._find(identity, sid, TrackEnded) is None:
            self._append(identity, event)

    def _find(self, identity: str, sid: str, kind: type[TrackChanged] | type[TrackEnded]) -> int | None:
        """Number of a track's waiting event of one kind."""
        for number in self._waiting.get(identity, ()):
            event = self._events[number]
            if isinstance(event, kind) and event.track.sid == sid:
                return number
        return None

    def _is_present(self, identity: str) -> bool:
        """True where the reader knows the person, or will by the time that it reads what is added now."""
        if identity in self._read and identity not in self._leaving:
            return True
        return any(isinstance(self._events[n], ParticipantChanged) for n in self._waiting.get(identity, ()))

    def _append(self, identity: str | None, event: CallEvent) -> None:
        number = next(self._numbers)
        self._events[number] = event
        if identity is not None:
            self._waiting.setdefault(identity, []).append(number)
        self._filled.set()

    def _replace(self, number: int, event: CallEvent) -> None:
        self._on_drop(self._events[number])
        self._events[number] = event

    def _forget(self, identity: str, number: int) -> None:
        waiting = self._waiting.get(identity)
        if waiting is not None:
            waiting.remove(number)
            if not waiting:
                del self._waiting[identity]
