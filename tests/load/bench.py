"""`make bench`: what the sidecar costs on this machine, against the least that it could; writes bench.json.

Participants are simulated by processes of their own (640x360 at 15 fps in two layers, sound), whose CPU is not counted,
beside a real LiveKit server and Redis on the same machine. A scenario is measured twice with the same people in the
room: read by a real `sidecar worker`, then by the floor (see `floor`).
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from sidecar.demo.servers import LiveKitProcess, RedisProcess
from sidecar.errors import SidecarError
from tests.load.cpu import machine
from tests.load.figures import Figures, figures
from tests.load.media import parts
from tests.load.scenario import Plan, read

_RESULTS: Final = Path(__file__).parents[2] / "models" / "results" / "bench.json"
_SCENARIOS: Final = {"continuous_speech": 1.0, "speech_30_percent": 0.3}
_MOST_CPU_MS: Final = {"continuous_speech": 120.0, "speech_30_percent": 80.0}
_MOST_OVER_FLOOR: Final = 1.3
_MOST_P95_MS: Final = 700.0
_MOST_GROWTH_PERCENT: Final = 5.0


async def measure(people: int, minutes: float, only: str | None) -> Figures:
    """All scenarios, one after the other."""
    results: Figures = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine(),
        "load_before": os.getloadavg()[0],
        "participants": people,
        "scenarios": {},
    }
    with tempfile.TemporaryDirectory() as temporary, LiveKitProcess() as livekit, RedisProcess() as redis:
        folder = Path(temporary)
        for name, share in _SCENARIOS.items():
            if only in (None, name):
                seconds = minutes * 60
                plan = Plan(name, parts(folder, people, share), share, seconds, floor_seconds=min(seconds, 40.0))
                reading, floor = await read(livekit.server, redis.url, plan, folder)
                results["scenarios"][name] = {"speech_share": share, **figures(reading, floor, people)}
    results["reached"] = reached(results["scenarios"])
    return results


def reached(scenarios: Figures) -> dict[str, bool]:
    """What is asked of the sidecar, and whether it is so."""
    goals = {}
    for name, scenario in scenarios.items():
        cpu_ms = scenario["cpu_ms_per_participant_second"]["total"]
        goals[f"{name}: CPU at most {_MOST_CPU_MS[name]:g} ms a participant-second"] = cpu_ms <= _MOST_CPU_MS[name]
        goals[f"{name}: at most {_MOST_OVER_FLOOR} times the floor"] = (
            scenario["pipeline_over_floor"] <= _MOST_OVER_FLOOR
        )
        p95_ms = scenario["latency_ms"]["p95"]
        goals[f"{name}: P95 of latency under {_MOST_P95_MS:g} ms"] = p95_ms is not None and p95_ms < _MOST_P95_MS
        growth = scenario["memory_mib"]["growth_percent"]
        goals[f"{name}: memory grows by less than {_MOST_GROWTH_PERCENT:g} %"] = growth < _MOST_GROWTH_PERCENT
    return goals


def show(results: Figures) -> None:
    """Print what matters."""
    console = Console()
    table = Table(title=f"{results['machine']}, {results['participants']} participants, {results['date']}")
    table.add_column("ms of CPU per participant-second")
    for name in results["scenarios"]:
        table.add_column(name, justify="right")
    scenarios = list(results["scenarios"].values())
    for title, key in (("sidecar", "cpu_ms_per_participant_second"), ("floor", "floor_ms_per_participant_second")):
        for part in dict.fromkeys(part for scenario in scenarios for part in scenario[key]):
            table.add_row(f"{title}: {part}", *(_number(scenario[key].get(part)) for scenario in scenarios))
        table.add_section()
    table.add_row("sidecar over floor", *(_number(scenario["pipeline_over_floor"]) for scenario in scenarios))
    for rank in ("p50", "p95", "p99"):
        table.add_row(f"latency {rank}, ms", *(_number(scenario["latency_ms"][rank]) for scenario in scenarios))
    for part in ("idle", "per_participant", "growth_percent"):
        table.add_row(f"memory {part}, MiB or %", *(_number(scenario["memory_mib"][part]) for scenario in scenarios))
    console.print(table)
    for goal, is_reached in results["reached"].items():
        console.print(f"{'yes' if is_reached else 'NO ':3} {goal}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def rounded(value: Any) -> Any:
    """The figures with three decimals."""
    if isinstance(value, float):
        return round(value, 3)
    return {key: rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench", description=__doc__)
    parser.add_argument("--participants", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=1.0, help="of measuring per scenario (10 for the memory)")
    parser.add_argument("--only", choices=_SCENARIOS, help="one scenario")
    parser.add_argument("--out", type=Path, default=_RESULTS)
    given = parser.parse_args()
    try:
        results = rounded(asyncio.run(measure(given.participants, given.minutes, given.only)))
    except SidecarError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
