"""The figures of a benchmark, from what was measured."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tests.load.cpu import MAIN
from tests.load.scenario import Floor, Reading

_FACE_NETWORKS: Final = ("blazeface", "face-mesh", "iris")
"""They share the thread `faces` with the geometry around them, so their part is their calls times the bare call."""
_NAME_BYTES: Final = 15

Figures = dict[str, Any]


def figures(reading: Reading, floor: Floor, people: int) -> Figures:
    """One scenario's figures: CPU in milliseconds per participant-second, latency, memory, and the floor."""
    calls = reading.calls()
    bare = {name: each.a_second / people * floor.call_s[name] * 1000 for name, each in calls.items()}
    parts = _split(_per_participant(reading.cpu_s, reading.seconds, people), bare)
    received = _per_participant(floor.cpu_s, floor.seconds, people)
    received_ms = sum(ms for name, ms in received.items() if not name.startswith("model-"))
    total, floor_total = sum(parts.values()), received_ms + sum(bare.values())
    rates = {name: each.a_second / people for name, each in sorted(calls.items())}
    return {
        "seconds": round(reading.seconds, 1),
        "cpu_ms_per_participant_second": {"total": total, **parts},
        "floor_ms_per_participant_second": {"total": floor_total, "sdk": received_ms, **dict(sorted(bare.items()))},
        "pipeline_over_floor": total / floor_total,
        "calls_per_participant_second": rates,
        "units_per_call": {name: each.units for name, each in sorted(calls.items())},
        "bare_call_ms": {name: floor.call_s[name] * 1000 for name in sorted(calls)},
        "latency_ms": _latency(reading.estimates),
        "estimates_per_participant_second": len(reading.estimates) / reading.seconds / people,
        "abstained_share": float(np.mean([one["abstained"] for one in reading.estimates] or [np.nan])),
        "seconds_with": _seconds_with(reading.estimates),
        "dropped_per_participant_second": _dropped(reading, people),
        "memory_mib": _memory(reading, people),
        "machine_busy_cores": reading.machine_busy_s / reading.seconds,
    }


def _per_participant(cpu_s: Mapping[str, float], seconds: float, people: int) -> dict[str, float]:
    return {name: used_s / seconds / people * 1000 for name, used_s in cpu_s.items()}


def _split(threads: Mapping[str, float], bare: Mapping[str, float]) -> dict[str, float]:
    """By purpose instead of thread. What bears no name of ours is the SDK's native code: receive and decode."""
    batched = {f"model-{name}_0"[:_NAME_BYTES]: name for name in bare if name not in _FACE_NETWORKS}
    parts: defaultdict[str, float] = defaultdict(float)
    for thread, ms in threads.items():
        if thread.startswith("faces"):
            networks = {name: bare[name] for name in _FACE_NETWORKS if name in bare}
            for name, networks_ms in networks.items():
                parts[name] += networks_ms
            parts["face_geometry"] += ms - sum(networks.values())
        elif thread in batched:
            parts[batched[thread]] += ms
        elif thread == MAIN:
            parts["event_loop"] += ms
        elif thread.startswith("asyncio"):
            parts["voice_cues"] += ms
        elif thread.startswith("audit"):
            parts["audit"] += ms
        else:
            parts["receive_and_decode"] += ms
    return dict(parts)


def _latency(estimates: Sequence[Mapping[str, Any]]) -> Figures:
    values = [one["latency_ms"] for one in estimates]
    if not values:
        return {"p50": None, "p95": None, "p99": None}
    return {f"p{rank}": float(np.percentile(values, rank)) for rank in (50, 95, 99)}


def _seconds_with(estimates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Share of the estimates that rest on each modality."""
    found = Counter(modality for one in estimates for modality in one["modalities"])
    return {modality: count / len(estimates) for modality, count in sorted(found.items())}


def _dropped(reading: Reading, people: int) -> dict[str, float]:
    per_second = reading.seconds * people
    dropped = {labels: n for (name, labels), n in reading.counted.items() if name == "sidecar_dropped_total" and n}
    return {labels: count / per_second for labels, count in sorted(dropped.items())}


def _memory(reading: Reading, people: int) -> dict[str, float]:
    """Growth is that of the last quarter's mean over the first's."""
    resident = np.array(reading.resident_bytes) / 2**20
    quarter = max(1, len(resident) // 4)
    first, last = float(resident[:quarter].mean()), float(resident[-quarter:].mean())
    return {
        "idle": reading.idle_bytes / 2**20,
        "in_call": last,
        "per_participant": (last - reading.idle_bytes / 2**20) / people,
        "growth": last - first,
        "growth_percent": (last / first - 1) * 100,
    }
