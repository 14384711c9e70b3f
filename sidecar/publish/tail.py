"""Reads a room's events back from Redis, as any subscriber may."""

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, Literal

import msgspec
from redis.exceptions import ResponseError

from sidecar.clock import Clock
from sidecar.errors import ConfigurationError, Unavailable
from sidecar.publish.delivery import stream_key
from sidecar.redis.connect import AnyRedis
from sidecar.redis.exchange import Exchange
from sidecar.redis.refusals import error_code, translated

log = logging.getLogger(__name__)

_BLOCK_MS: Final = 1000
_ANSWER_WITHIN_S: Final = 3.0
_RETRY_S: Final = 1.0

_Entry = tuple[bytes, bytes | None]
"""Position, and the event as published; None for an entry that is none."""


async def follow(
    redis: AnyRedis, room: str, start: Literal["start", "now"], clock: Clock
) -> AsyncGenerator[bytes, None]:
    """Each event as published, without end; goes on where it stopped when Redis comes back.

    Entries of the stream that are no events are skipped and counted in the log. Raises `ConfigurationError` where the
    room's key holds something else than a stream, and `CredentialsRefused`.
    """
    stream = _Stream(redis, stream_key(room))
    position: bytes | None = b"0" if start == "start" else None
    away = False
    skipped = 0
    while True:
        try:
            if position is None:
                position = await stream.newest()
            entries = await stream.after(position)
        except Unavailable as error:
            if not away:
                log.warning("trying again every %g s: %s", _RETRY_S, error)
            away = True
            await clock.sleep(_RETRY_S)
            continue
        if away:
            log.info("Redis answers again")
        away = False
        for entry, event in entries:
            position = entry
            if event is not None:
                yield event
        if foreign := sum(event is None for _, event in entries):
            skipped += foreign
            log.warning("skipped %d entries of the stream that are no events, %d in all", foreign, skipped)


class _Stream:
    """A room's stream. Calls raise `Unavailable`, `CredentialsRefused`, `ConfigurationError`."""

    def __init__(self, redis: AnyRedis, key: str) -> None:
        self._exchange = Exchange(redis, _ANSWER_WITHIN_S)
        self._key = key

    async def newest(self) -> bytes:
        answer = await self._ask("XREVRANGE", self._key, "+", "-", "COUNT", 1)
        entries = _entries(answer)
        return entries[0][0] if entries else b"0"

    async def after(self, position: bytes) -> list[_Entry]:
        """The next entries; waits a second for one."""
        answer = await self._ask("XREAD", "COUNT", 100, "BLOCK", _BLOCK_MS, "STREAMS", self._key, position)
        match answer:
            case None:
                return []
            case [[_, entries]]:
                return _entries(entries)
        raise _strange()

    async def _ask(self, *command: str | bytes | int) -> Any:
        [answer] = await self._exchange.ask(self._key, [command])
        if isinstance(answer, ResponseError):
            if error_code(answer) == "WRONGTYPE":
                raise ConfigurationError(f"{self._key} on Redis holds something else than a stream")
            raise translated(answer)
        return answer


def _entries(answer: object) -> list[_Entry]:
    entries: list[_Entry] = []
    for entry in answer if isinstance(answer, list) else [None]:
        match entry:
            case [bytes() as position, list() as fields]:
                entries.append((position, _event(fields)))
            case [bytes() as position, None]:  # deleted meanwhile
                entries.append((position, None))
            case _:
                raise _strange()
    return entries


def _event(fields: Sequence[Any]) -> bytes | None:
    """The event of an entry, on one line."""
    pairs = zip(fields[0::2], fields[1::2], strict=False)
    payload = next((value for name, value in pairs if name == b"event"), None)
    try:
        msgspec.json.decode(payload or b"", type=dict[str, Any])  # the whole, since `Raw` does not check UTF-8
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    assert payload is not None
    return bytes(payload).replace(b"\r", b" ").replace(b"\n", b" ")  # in JSON they are only white space


def _strange() -> Unavailable:
    return Unavailable("Redis cannot be used at present: it answered with something that is no stream")
