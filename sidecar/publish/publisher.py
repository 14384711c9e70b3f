"""Numbers one room's events within one epoch and hands them to a sink."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

import msgspec

from sidecar.clock import Clock, rfc3339
from sidecar.schema import EVENT_TYPES, Event, EventData, RoomChange
from sidecar.types import Permit


@dataclass(frozen=True, slots=True)
class Envelope:
    """One serialised event on its way to a sink."""

    room: str
    epoch: str
    type: str
    wall_time_s: float
    payload: bytes
    """The CloudEvents JSON, UTF-8."""


class EventSink(Protocol):
    """Where events go. Keeps their order and never blocks the caller."""

    def put(self, envelope: Envelope) -> None:
        """Take one event; what cannot be delivered now is kept, what cannot be kept is counted.

        If it raises, it has not taken the event. It never publishes from within `put`.
        """
        ...


_SCHEMA_URN: Final = "urn:engagement-sidecar:events:v1"


def new_epoch(clock: Clock) -> str:
    """A name for one attachment of an observer: unique, and later ones sort after earlier ones."""
    return f"{int(clock.wall() * 1000):013d}-{secrets.token_hex(4)}"


class RoomPublisher:
    """The only place that assigns `sequence`: permits are checked just before, and nothing awaits in between."""

    def __init__(self, room: str, epoch: str, worker: str, sink: EventSink, clock: Clock) -> None:
        self.room = room
        self.epoch = epoch
        self._source = f"/engagement-sidecar/{quote(worker, safe='')}"
        self._sink = sink
        self._clock = clock
        self._trace = secrets.token_hex(16)
        self._sequence = 0

    @property
    def sequence(self) -> int:
        """The number given to the newest event; 0 before the first."""
        return self._sequence

    def publish(self, data: EventData, permits: Iterable[Permit] = ()) -> None:
        """Number, serialise and hand over one event.

        Raises `PermitRevoked` unless every permit it rests on is live, and what the sink raises. In both cases the
        number goes to the next event, so that there are no holes.
        """
        for permit in permits:
            permit.check()
        sequence = self._sequence + 1
        wall_time_s = self._clock.wall()
        event_type = EVENT_TYPES[type(data)]
        event = Event(
            id=f"{self.epoch}/{sequence}",
            source=self._source,
            type=event_type,  # type: ignore[arg-type]  # EVENT_TYPES holds exactly the literals of Event.type
            subject=self._subject(data),
            time=rfc3339(wall_time_s),
            dataschema=_SCHEMA_URN,
            traceparent=f"00-{self._trace}-{secrets.token_hex(8)}-01",
            epoch=self.epoch,
            sequence=str(sequence),
            data=data,
        )
        self._sink.put(Envelope(self.room, self.epoch, event_type, wall_time_s, msgspec.json.encode(event)))
        self._sequence = sequence

    def _subject(self, data: EventData) -> str:
        room = quote(self.room, safe="")
        return room if isinstance(data, RoomChange) else f"{room}/{quote(data.identity, safe='')}"
