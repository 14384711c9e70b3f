"""The clocks, injected everywhere so that tests run on virtual time."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the sidecar sees it."""

    def monotonic(self) -> float:
        """Seconds on the clock that stamps arrivals; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch, for what people read."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def rfc3339(wall_time_s: float) -> str:
    """UTC with milliseconds, as every `time` is written."""
    return datetime.fromtimestamp(wall_time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
