"""How busy this worker is, 0-1: the worst of processor, memory, open files and the encoders' queue."""

import math
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec

from sidecar.clock import Clock
from sidecar.types import Options

_LEAST_INTERVAL_S: Final = 0.5
_CGROUP: Final = "sys/fs/cgroup"


class LoadOptions(Options, frozen=True):
    """How a load is made of measurements."""

    smoothing_s: Annotated[float, msgspec.Meta(ge=0, le=120)] = 5.0
    """Time constant: a single busy second must not turn rooms away."""
    memory_from: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.7
    """Share of memory in use up to which memory is no load; from there it rises to 1 at full memory."""


class Resources(Protocol):
    """What the process uses of what it may use."""

    def processor_s(self) -> float:
        """Processor seconds this process has used."""
        ...

    def cores(self) -> float:
        """Processor seconds it may use in a second."""
        ...

    def memory_share(self) -> float:
        """0-1: memory in use, of the container where it is limited, else of the machine."""
        ...

    def file_share(self) -> float:
        """0-1: file descriptors in use; a room takes tens of sockets for each address of the machine."""
        ...


class ProcessResources:
    """`Resources` from the system: affinity, cgroup v2 limits and `/proc` (elsewhere than on Linux, cores alone)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def processor_s(self) -> float:
        return time.process_time()

    def cores(self) -> float:
        allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        quota = self._read("cpu.max").split()
        if len(quota) == 2 and quota[0].isdecimal():
            allowed = min(allowed, int(quota[0]) / int(quota[1]))
        return allowed

    def memory_share(self) -> float:
        limit = self._read("memory.max").strip()
        if limit.isdecimal() and int(limit) > 0:
            # Cached file pages count as used but are given back on demand.
            cached = _table(self._read("memory.stat")).get("inactive_file", 0)
            return _share(int(self._read("memory.current") or 0) - cached, int(limit))
        machine = _table(_text(self._root / "proc/meminfo"))
        total = machine.get("MemTotal:", 0)
        return _share(total - machine.get("MemAvailable:", 0), total)

    def file_share(self) -> float:
        descriptors = self._root / "proc/self/fd"
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit == resource.RLIM_INFINITY or not descriptors.is_dir():
            return 0.0
        try:
            return _share(sum(1 for _ in descriptors.iterdir()), limit)
        except OSError:  # to list them takes one more, and none is left
            return 1.0

    def _read(self, name: str) -> str:
        """A file of this process's own cgroup, or of the root that a container sees."""
        lines = _text(self._root / "proc/self/cgroup").splitlines()
        own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
        top = self._root / _CGROUP
        return _text(top / own / name) or _text(top / name)


class LoadMeter:
    """Measures when called; calls in quick succession get the same answer."""

    def __init__(
        self, resources: Resources, queue_share: Callable[[], float], options: LoadOptions, clock: Clock
    ) -> None:
        """`queue_share`: the batcher's delay over its deadline, 1 where work is being shed."""
        self._resources = resources
        self._queue_share = queue_share
        self._options = options
        self._clock = clock
        self._measured_s = clock.monotonic()
        self._processor_s = resources.processor_s()
        self._load = 0.0

    def __call__(self) -> float:
        """The smoothed load, 0-1."""
        elapsed_s = self._clock.monotonic() - self._measured_s
        if elapsed_s >= _LEAST_INTERVAL_S:
            weight = 1.0 if self._options.smoothing_s == 0 else -math.expm1(-elapsed_s / self._options.smoothing_s)
            self._load += weight * (self._measure(elapsed_s) - self._load)
        return self._load

    def _measure(self, elapsed_s: float) -> float:
        used_s = self._resources.processor_s()
        processor = (used_s - self._processor_s) / elapsed_s / self._resources.cores()
        self._processor_s = used_s
        self._measured_s += elapsed_s
        above = self._resources.memory_share() - self._options.memory_from
        memory = above / (1.0 - self._options.memory_from)
        return min(1.0, max(0.0, processor, memory, self._resources.file_share(), self._queue_share()))


def allow_open_files() -> int:
    """Raise this process's own limit of open files to the most the system grants, and return it.

    The usual 1024 is used up by about ten rooms: WebRTC binds sockets for each address of the machine.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _share(used: int, total: int) -> float:
    return min(1.0, max(0.0, used / total)) if total > 0 else 0.0


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) >= 2 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # not this kind of system
        return ""
