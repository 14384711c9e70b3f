"""A sink that remembers."""

import json
from typing import Any

from sidecar.publish.publisher import Envelope


class MemorySink:
    """An `EventSink` in memory."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put(self, envelope: Envelope) -> None:
        self.events.append(json.loads(envelope.payload))

    def data(self, kind: str) -> list[dict[str, Any]]:
        """The `data` of all events of a type such as `estimate`."""
        return [event["data"] for event in self.events if event["type"] == f"engagement.{kind}.v1"]
