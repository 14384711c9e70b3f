"""CPU time and memory of a process, from /proc: Linux alone."""

import platform
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_TICKS_A_SECOND: Final = 100  # USER_HZ, which no Linux that runs this changes
MAIN: Final = "(main)"
ENDED: Final = "(ended)"


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """CPU time that a process had used when the snapshot was taken."""

    threads: Mapping[int, tuple[str, float]]
    """Thread to its name, of at most 15 characters (`MAIN` for the main thread's), and seconds."""
    total_s: float
    """That of threads that are no more included; in steps of 10 ms."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Raises `FileNotFoundError` where there is no such process."""
        threads: dict[int, tuple[str, float]] = {}
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                used_ns = int((task / "schedstat").read_text("ascii").split()[0])
                name = MAIN if task.name == str(pid) else (task / "comm").read_text("utf-8").strip()
                threads[int(task.name)] = (name, used_ns / 1e9)
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread ended while we looked
        user, system = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[11:13]
        return cls(threads, (int(user) + int(system)) / _TICKS_A_SECOND)

    def since(self, before: "CpuTimes") -> dict[str, float]:
        """Seconds by thread name; those of threads that ended meanwhile under `ENDED`."""
        used: defaultdict[str, float] = defaultdict(float)
        for tid, (name, seconds) in self.threads.items():
            used[name] += seconds - before.threads.get(tid, (name, 0.0))[1]
        used[ENDED] = max(0.0, self.total_s - before.total_s - sum(used.values()))
        return dict(used)


def resident_bytes(pid: int) -> int:
    """Memory of the process that is in RAM."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise ProcessLookupError(pid)
    return int(found[1]) * 1024


def machine_busy_s() -> float:
    """CPU time that everything on the machine has used since it started, idling and waiting not included."""
    fields = [int(field) for field in Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS_A_SECOND


def machine() -> str:
    """The processor's name and how many there are."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    return f"{len(models)} x {models[0]}" if models else platform.machine()
