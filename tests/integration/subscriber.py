"""An outside program: knows the published interfaces and nothing of the code."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import TimeoutError as RedisSlow

SCHEMA = json.loads((Path(__file__).parents[2] / "sidecar" / "events.schema.json").read_text())
WITHIN_S = 60.0

Event = dict[str, Any]


class Subscriber:
    """Reads a room's stream from its start and keeps each event once."""

    def __init__(self, url: str, room: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=3.0)
        self._stream = f"engagement:{room}:log"
        self._position = "0"
        self._seen: dict[str, Event] = {}

    async def __aenter__(self) -> "Subscriber":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    @property
    def events(self) -> list[Event]:
        return list(self._seen.values())

    def restart(self) -> None:
        """Redis came back empty: its streams begin anew."""
        self._position = "0"

    async def until(self, condition: Callable[[list[Event]], object], within_s: float = WITHIN_S) -> list[Event]:
        """All events, once they fulfil the condition."""
        async with asyncio.timeout(within_s):
            while not condition(self.events):
                await self._read()
        return self.events

    async def _read(self) -> None:
        try:
            answer: Any = await self._redis.xread({self._stream: self._position}, count=500, block=200)
        except (RedisAway, RedisSlow):
            await asyncio.sleep(0.1)
            return
        for _, entries in answer:
            for position, fields in entries:
                self._position = position
                event = json.loads(fields[b"event"])
                jsonschema.validate(event, SCHEMA)
                self._seen.setdefault(event["id"], event)


def data(events: list[Event], kind: str, identity: str | None = None) -> list[Event]:
    """The `data` of a type's events, of one person."""
    found = [event["data"] for event in events if event["type"] == f"engagement.{kind}.v1"]
    return found if identity is None else [each for each in found if each["identity"] == identity]


def estimates_with(events: list[Event], identity: str, *modalities: str) -> list[Event]:
    return [each for each in data(events, "estimate", identity) if set(modalities) <= set(each["modalities"])]


def wall_s(event: Event) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def holes(events: list[Event]) -> list[tuple[str, list[int]]]:
    """Per epoch, the numbers that are missing or out of order."""
    epochs: dict[str, list[int]] = {}
    for event in events:
        epochs.setdefault(event["epoch"], []).append(int(event["sequence"]))
    return [(epoch, numbers) for epoch, numbers in epochs.items() if numbers != list(range(1, len(numbers) + 1))]
