"""How long single calls hold up the event loop."""

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

_OWN: Final = ("faulty proxy", "test_", "_accept")
"""What the kit itself runs in the loop."""


@dataclass(slots=True)
class LoopLag:
    """The longest calls seen. A call that lost its core to another process says nothing: it is only counted."""

    calls: int = 0
    preempted: int = 0
    longest: list[tuple[float, float, str]] = field(default_factory=list)
    """The five longest: seconds of wall time, seconds of CPU time of them, and what was called."""

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure each callback and each step of a task within the block, in this thread's loop."""
        really = asyncio.Handle._run

        def run(handle: asyncio.Handle) -> None:
            switches = _switches()
            began, began_cpu = time.perf_counter(), time.thread_time()
            really(handle)
            wall_s, cpu_s = time.perf_counter() - began, time.thread_time() - began_cpu
            self._take(wall_s, cpu_s, _switches() != switches, handle)

        with patch.object(asyncio.Handle, "_run", run):
            yield

    def report(self) -> str:
        """For people."""
        lines = [f"  {wall * 1000:6.1f} ms ({cpu * 1000:5.1f} ms CPU)  {what}" for wall, cpu, what in self.longest]
        return "\n".join([f"event loop: {self.calls} calls, {self.preempted} preempted; the longest others:", *lines])

    def _take(self, wall_s: float, cpu_s: float, preempted: bool, handle: asyncio.Handle) -> None:
        self.calls += 1
        if len(self.longest) == 5 and wall_s <= self.longest[-1][0]:
            return
        what = _described(handle)
        if any(own in what for own in _OWN):
            return
        if preempted:
            self.preempted += 1
            return
        self.longest = sorted([*self.longest, (wall_s, cpu_s, what)], reverse=True)[:5]


def _switches() -> int:
    """How often this thread lost its core though it could go on."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def _described(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"task {task.get_name()}: {getattr(task.get_coro(), '__qualname__', '')}"
    return str(getattr(callback, "__qualname__", callback))
