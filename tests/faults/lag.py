"""How long single calls hold up the event loop."""

import asyncio
import gc
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

_OWN: Final = ("faulty proxy", "test_", "_accept")
"""What the kit itself runs in the loop."""

LIMIT_S: Final = 0.020
"""What one call may take."""


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """One callback or step of a task."""

    wall_s: float
    cpu_s: float
    collecting_s: float
    """Of these, spent on Python's garbage collection: it depends on all that the process ever loaded."""
    what: str


@dataclass(slots=True)
class LoopLag:
    """The longest calls seen. A call that lost its core to another process says nothing: it is only counted."""

    calls: int = 0
    too_long: int = 0
    preempted: int = 0
    longest: list[Call] = field(default_factory=list)
    """The five longest, longest first."""
    _collecting_s: float = 0.0
    _collection_began: float = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure each callback and each step of a task within the block, in this thread's loop."""
        really = asyncio.Handle._run

        def run(handle: asyncio.Handle) -> None:
            switches, collecting_s = _switches(), self._collecting_s
            began, began_cpu = time.perf_counter(), time.thread_time()
            really(handle)
            wall_s, cpu_s = time.perf_counter() - began, time.thread_time() - began_cpu
            call = Call(wall_s, cpu_s, self._collecting_s - collecting_s, "")
            self._take(call, _switches() != switches, handle)

        gc.callbacks.append(self._collection)
        try:
            with patch.object(asyncio.Handle, "_run", run):
                yield
        finally:
            gc.callbacks.remove(self._collection)

    def report(self) -> str:
        """For people."""
        head = f"event loop: {self.calls} calls, {self.preempted} long ones preempted, {self.too_long} above 20 ms"
        return "\n".join([head + "; the longest:", *map(_line, self.longest)])

    def _collection(self, phase: str, _: object) -> None:
        if phase == "start":
            self._collection_began = time.perf_counter()
        else:
            self._collecting_s += time.perf_counter() - self._collection_began

    def _take(self, call: Call, preempted: bool, handle: asyncio.Handle) -> None:
        self.calls += 1
        if call.wall_s <= min(LIMIT_S, self.longest[-1].wall_s if len(self.longest) == 5 else 0.0):
            return
        what = _described(handle)
        if any(own in what for own in _OWN):
            return
        if preempted:
            self.preempted += 1
            return
        self.too_long += call.wall_s - call.collecting_s > LIMIT_S
        named = Call(call.wall_s, call.cpu_s, call.collecting_s, what)
        self.longest = sorted([*self.longest, named], reverse=True)[:5]


def _line(call: Call) -> str:
    wall_ms, cpu_ms, collecting_ms = call.wall_s * 1000, call.cpu_s * 1000, call.collecting_s * 1000
    return f"  {wall_ms:6.1f} ms ({cpu_ms:5.1f} CPU, {collecting_ms:5.1f} collecting garbage)  {call.what}"


def _switches() -> int:
    """How often this thread lost its core though it could go on."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def _described(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"task {task.get_name()}: {getattr(task.get_coro(), '__qualname__', '')}"
    return str(getattr(callback, "__qualname__", callback))
