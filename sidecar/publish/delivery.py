"""Writes events to Redis: for each room a transaction on its stream and channel, and the index of rooms apart."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import ResponseError

from sidecar.errors import SidecarError, Unavailable
from sidecar.publish.publisher import Envelope
from sidecar.redis.connect import AnyRedis
from sidecar.redis.exchange import Command, Exchange
from sidecar.redis.refusals import error_code, translated
from sidecar.telemetry import Telemetry

log = logging.getLogger(__name__)

ROOMS_KEY: Final = "engagement:rooms"
_WITHIN_S: Final = 3.0
_MOST_INDEXED: Final = 10_000

_LASTING: Final = ("WRONGTYPE", "ERR")
"""Errors of one room's stream that waiting does not cure: a key of another type, a stream whose ids are used up."""


def channel_key(room: str) -> str:
    """The pub/sub channel of a room."""
    return f"engagement:{room}:events"


def stream_key(room: str) -> str:
    """The capped stream of a room."""
    return f"engagement:{room}:log"


@dataclass(slots=True)
class Outcome:
    """What became of a batch of events; each is in one of the lists, in the order of the batch."""

    delivered: list[Envelope] = field(default_factory=list)
    lost: list[Envelope] = field(default_factory=list)
    """Refused by both stream and channel, for a reason that will not pass."""
    waiting: list[Envelope] = field(default_factory=list)
    """Possibly not on Redis: to be sent again."""
    error: SidecarError | None = None
    """Why events wait."""


class Delivery:
    """Sends batches of events. On a cluster each room goes to the server that holds its stream."""

    def __init__(self, redis: AnyRedis, *, stream_max_events: int, stream_ttl_s: int, telemetry: Telemetry) -> None:
        self._exchange = Exchange(redis, _WITHIN_S)
        self._stream_max_events = stream_max_events
        self._stream_ttl_s = stream_ttl_s
        self._telemetry = telemetry
        self._index: dict[str, float] = {}
        """Rooms by the time of their newest event, as far as `engagement:rooms` does not know it yet."""
        self._reported: set[str] = set()

    async def deliver(self, batch: Sequence[Envelope]) -> Outcome:
        """Send a batch; events of a room stay in order. Takes a few seconds at most and raises nothing for Redis."""
        rooms: dict[str, list[Envelope]] = {}
        for envelope in batch:
            rooms.setdefault(envelope.room, []).append(envelope)
            self._index[envelope.room] = envelope.wall_time_s
        while len(self._index) > _MOST_INDEXED:
            del self._index[next(iter(self._index))]
        by_key = {stream_key(room): events for room, events in rooms.items()}
        try:
            servers = await self._exchange.by_server([*by_key, ROOMS_KEY])
        except SidecarError as error:
            return Outcome(waiting=list(batch), error=error)
        parts = await asyncio.gather(*(self._deliver_to_server(keys, by_key) for keys in servers))
        return _joined(batch, parts)

    async def probe(self) -> SidecarError | None:
        """Why Redis takes no writes at present, or None.

        The write changes nothing: `XX` updates only what is there, and no room has an empty name.
        """
        try:
            [answer] = await self._exchange.ask(ROOMS_KEY, [("ZADD", ROOMS_KEY, "XX", 0, "")])
        except SidecarError as error:
            return error
        if _is_error(answer) and error_code(answer) not in (*_LASTING, "NOPERM"):
            return translated(answer)
        return None

    async def _deliver_to_server(self, keys: Sequence[str], by_key: dict[str, list[Envelope]]) -> Outcome:
        """One exchange with the server that holds `keys`."""
        commands: list[Command] = []
        ends: list[int] = []
        index = dict(self._index) if ROOMS_KEY in keys else {}
        for key in keys:
            commands += _indexing(index) if key == ROOMS_KEY else self._transaction(key, by_key[key])
            ends.append(len(commands))
        outcome = Outcome()
        try:
            answers = await self._exchange.ask(keys[0], commands)
        except SidecarError as error:
            outcome.waiting = [event for key in keys for event in by_key.get(key, ())]
            outcome.error = error if outcome.waiting else None
            return outcome
        for key, start, end in zip(keys, [0, *ends], ends, strict=False):
            if key == ROOMS_KEY:
                self._judge_index(index, answers[start])
            else:
                self._judge(by_key[key], answers[start:end], outcome)
        return outcome

    def _transaction(self, key: str, events: Sequence[Envelope]) -> list[Command]:
        commands: list[Command] = [("MULTI",)]
        for event in events:
            commands += [
                ("XADD", key, "MAXLEN", "~", self._stream_max_events, "*", "event", event.payload),
                ("PUBLISH", channel_key(event.room), event.payload),
            ]
        return [*commands, ("EXPIRE", key, self._stream_ttl_s), ("EXEC",)]

    def _judge(self, events: Sequence[Envelope], answers: Sequence[Any], outcome: Outcome) -> None:
        try:
            results = _results(answers, 2 * len(events) + 1)
            for refusal in filter(_is_error, results):
                if error_code(refusal) not in _LASTING:
                    raise translated(refusal)
        except SidecarError as error:
            outcome.waiting += events
            outcome.error = error
            return
        for event, added, heard in zip(events, results[0::2], results[1::2], strict=False):
            if _is_error(added) and _is_error(heard):
                outcome.lost.append(event)
            else:
                outcome.delivered.append(event)
            if _is_error(added):
                self._telemetry.dropped.labels("redis", "stream_refused").inc()
                self._report(
                    "a stream", f"events of a room reach only its channel, its stream refuses them: {_of(added)}"
                )

    def _judge_index(self, index: dict[str, float], answer: object) -> None:
        """Forget what the index has now, and what it will not take: its events are delivered all the same."""
        code = _of(answer)
        if _is_error(answer) and code not in (*_LASTING, "NOPERM"):
            return  # with the next batch
        for room, time_s in index.items():
            if self._index.get(room) == time_s:
                del self._index[room]
        if code:
            self._telemetry.dropped.labels("redis", "index_refused").inc()
            self._report("index", f"{ROOMS_KEY} cannot be written, the list of rooms is incomplete ({code})")

    def _report(self, what: str, message: str) -> None:
        if what not in self._reported:
            self._reported.add(what)
            log.error("redis: %s; this is logged once, see sidecar_dropped_total", message)


def _indexing(index: dict[str, float]) -> list[Command]:
    pairs = (part for room, time_s in index.items() for part in (time_s, room))
    return [("ZADD", ROOMS_KEY, *pairs)] if index else [("PING",)]


def _results(answers: Sequence[Any], count: int) -> list[Any]:
    """What EXEC returned. Raises `Unavailable` or `CredentialsRefused` where the transaction was not carried out."""
    refusals = [answer for answer in answers if _is_error(answer)]
    if refusals:  # the first says why, EXEC only that
        raise translated(refusals[0])
    results = answers[-1]
    sound = (
        list(answers[:-1]) == [b"OK", *[b"QUEUED"] * count]
        and isinstance(results, list)
        and len(results) == count
        and all(_is_error(each) or isinstance(each, bytes) for each in results[0:-1:2])
        and all(_is_error(each) or isinstance(each, int) for each in results[1::2])
    )
    if not sound:
        raise Unavailable("Redis cannot be used at present: it answered a transaction with something else")
    return list(results)


def _joined(batch: Sequence[Envelope], parts: Sequence[Outcome]) -> Outcome:
    lost = {id(event) for part in parts for event in part.lost}
    waiting = {id(event) for part in parts for event in part.waiting}
    outcome = Outcome(error=next((part.error for part in parts if part.error is not None), None))
    for event in batch:
        if id(event) in waiting:
            outcome.waiting.append(event)
        else:
            (outcome.lost if id(event) in lost else outcome.delivered).append(event)
    return outcome


def _is_error(answer: object) -> bool:
    return isinstance(answer, ResponseError)


def _of(answer: object) -> str:
    return error_code(answer) if isinstance(answer, BaseException) else ""
