"""The files of `models/results/`: one for each model, written by a command, compared by another."""

import json
import math
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from sidecar.inference.manifest import ModelSpec

PACK: Final = Path(__file__).parents[1]
"""The default pack, whose results are in the repository."""
DIGITS: Final = 4
MEASURED: Final = ("timings", "machine", "compared")
"""Keys that differ between runs and machines; nothing is compared there."""
TURN: Final = 10
ELSEWHERE: Final = 0.01
"""How far a figure may lie off on another processor or runtime: they round INT8 and FP32 products differently, and an
answer near a tie falls the other way."""


def identity(spec: ModelSpec) -> dict[str, str]:
    """Which weights the results are about."""
    return {"name": spec.name, "version": spec.version, "sha256": spec.sha256}


def machine(provider: str) -> dict[str, Any]:
    """What the figures were computed on."""
    return {
        "processor": processor(),
        "threads": 1,
        "onnxruntime": onnxruntime.__version__,
        "provider": provider,
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def processor_ms(run: Callable[[], object], runs: int = 50) -> float:
    """Median processor time of a call: on a machine that others use too, the wall clock would measure them."""
    return processor_ms_of_each([run], runs)[0]


def processor_ms_of_each(calls: Sequence[Callable[[], object]], runs: int = 50) -> list[float]:
    """The same of several, taken in turn, so that a machine that slows down meanwhile slows all of them alike.

    A turn is ten calls: taken singly, small models would be timed fetching their weights into the cache again.
    """
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(math.ceil(runs / TURN)):
        for call, known in zip(calls, times, strict=True):
            for _ in range(TURN):
                began = time.process_time()
                call()
                known.append(time.process_time() - began)
    return [float(np.median(known) * 1000) for known in times]


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Rounded to four digits, keys in their order, short lists and tables on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rounded(result), indent=2, ensure_ascii=False, allow_nan=False)
    flat = re.compile(r"([\[{])\n\s+([^\[\]{}]{1,150}?)\n\s+([\]}])")
    text = flat.sub(lambda found: found[1] + re.sub(r"\n\s+", " ", found[2]) + found[3], text)
    path.write_text(text + "\n", "utf-8")


def read(path: Path) -> dict[str, Any]:
    """One results file. Raises FileNotFoundError naming the command that writes it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: write it with `python -m models.evaluate {path.stem}`")
    result: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return result


def rounded(value: Any) -> Any:
    """Plain numbers, to four digits; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return round(float(value), DIGITS) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def differences(committed: Mapping[str, Any], fresh: Mapping[str, Any]) -> list[str]:
    """Where a fresh run departs from the committed results, a line each; empty where it gives them again.

    On the same processor and runtime everything, to the last digit; elsewhere the figures, within `ELSEWHERE`.
    """
    fresh = rounded(fresh)
    if committed["machine"] == fresh["machine"]:
        told, now = ({k: v for k, v in each.items() if k not in MEASURED} for each in (committed, fresh))
        return list(_differences("", told, now, 0.0))
    return list(_differences("figures.", committed["figures"], fresh["figures"], ELSEWHERE))


def _differences(where: str, told: Any, now: Any, allowed: float) -> Iterator[str]:
    if isinstance(told, Mapping) and isinstance(now, Mapping):
        for key in sorted({*told, *now}):
            if key not in told or key not in now:
                yield f"{where}{key}: only in the {'committed results' if key in told else 'fresh run'}"
            else:
                yield from _differences(f"{where}{key}.", told[key], now[key], allowed)
    elif told != now and not (isinstance(told, float) and isinstance(now, float) and abs(told - now) <= allowed):
        yield f"{where[:-1]}: {told} committed, {now} now"
