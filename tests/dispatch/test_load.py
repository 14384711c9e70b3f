"""Load from files of a made-up system, and over virtual time."""

import math
import os
import resource
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sidecar.dispatch.load import LoadMeter, LoadOptions, ProcessResources, allow_open_files
from tests.fakes.clock import VirtualClock


class GivenResources:
    """A process that uses what the test says."""

    def __init__(self) -> None:
        self.used_s = 0.0
        self.memory = 0.0
        self.files = 0.0

    def processor_s(self) -> float:
        return self.used_s

    def cores(self) -> float:
        return 2.0

    def memory_share(self) -> float:
        return self.memory

    def file_share(self) -> float:
        return self.files


class Bench:
    def __init__(self, smoothing_s: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.resources = GivenResources()
        self.queue = 0.0
        options = LoadOptions(smoothing_s=smoothing_s, memory_from=0.7)
        self.meter = LoadMeter(self.resources, lambda: self.queue, options, self.clock)

    async def work(self, seconds: float, busy_cores: float) -> float:
        await self.clock.advance(seconds)
        self.resources.used_s += seconds * busy_cores
        return self.meter()


def write(root: Path, files: dict[str, str]) -> ProcessResources:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return ProcessResources(root)


async def test_processor_time_is_measured_against_the_cores_allowed() -> None:
    bench = Bench()
    assert bench.meter() == 0
    assert await bench.work(2.5, busy_cores=1) == pytest.approx(0.5)
    assert await bench.work(2.5, busy_cores=0.2) == pytest.approx(0.1)
    assert await bench.work(2.5, busy_cores=5) == 1


async def test_the_worst_counts() -> None:
    bench = Bench()
    bench.resources.memory = 0.85
    assert await bench.work(1, busy_cores=0.2) == pytest.approx(0.5)
    bench.resources.files = 0.8
    assert await bench.work(1, busy_cores=0.2) == pytest.approx(0.8)
    bench.queue = 0.9
    assert await bench.work(1, busy_cores=0.2) == pytest.approx(0.9)


def test_open_files_are_counted_against_the_limit_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[1], 256), before[1]))
        narrow = ProcessResources().file_share()
        with ExitStack() as opened:
            for _ in range(64):
                opened.enter_context(Path(os.devnull).open())
            assert ProcessResources().file_share() == pytest.approx(narrow + 64 / 256, abs=0.02)
        assert allow_open_files() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
        assert ProcessResources().file_share() <= narrow
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_process_without_a_free_descriptor_is_full() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        with ExitStack() as opened:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[1], 256), before[1]))
            with suppress(OSError):
                while True:
                    opened.enter_context(Path(os.devnull).open())
            share = ProcessResources().file_share()
        assert share == 1.0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_memory_below_the_threshold_is_no_load() -> None:
    bench = Bench()
    bench.resources.memory = 0.7
    assert await bench.work(1, busy_cores=0) == pytest.approx(0)


async def test_one_busy_second_is_smoothed_and_a_lasting_load_is_not_hidden() -> None:
    bench = Bench(smoothing_s=5)
    assert await bench.work(1, busy_cores=2) == pytest.approx(1 - math.exp(-1 / 5))
    for _ in range(30):
        load = await bench.work(1, busy_cores=1.5)
    assert load == pytest.approx(0.75, abs=0.01)


async def test_calls_in_quick_succession_do_not_disturb_the_measurement() -> None:
    bench = Bench()
    first = await bench.work(1, busy_cores=1)
    assert await bench.work(0.1, busy_cores=2) == first


def test_a_container_is_measured_by_its_own_limits(tmp_path: Path) -> None:
    resources = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/box/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/pod/box/memory.max": "1000\n",
            "sys/fs/cgroup/pod/box/memory.current": "900\n",
            "sys/fs/cgroup/pod/box/memory.stat": "anon 500\ninactive_file 300\n",
        },
    )
    assert resources.cores() == 0.5
    assert resources.memory_share() == pytest.approx(0.6)


def test_without_limits_the_machine_counts(tmp_path: Path) -> None:
    resources = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
            "sys/fs/cgroup/memory.max": "max\n",
            "proc/meminfo": "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:   250 kB\n",
        },
    )
    assert resources.cores() >= 1
    assert resources.memory_share() == pytest.approx(0.75)


def test_a_system_without_these_files_has_cores_and_no_memory_load(tmp_path: Path) -> None:
    resources = ProcessResources(tmp_path)
    assert resources.cores() >= 1
    assert resources.memory_share() == 0


def test_this_machine_can_be_measured() -> None:
    resources = ProcessResources()
    before_s = resources.processor_s()
    sum(range(200_000))
    assert resources.processor_s() > before_s
    assert 0 < resources.memory_share() <= 1
