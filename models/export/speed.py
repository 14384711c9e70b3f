"""Which provider serves each encoder of the pack best on this machine: `python -m models.export.speed [--pack DIR]`.

Processor time of one unit on one thread, under every provider that takes the file, against what the product allows;
written to `results/speed.json` of the pack.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.evaluate import results
from models.export.entries import PACK
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec, read_manifest
from sidecar.types import Modality

LIMIT_MS: Final[Mapping[Modality, float]] = {Modality.FACE: 1.5, Modality.VOICE: 30.0, Modality.TEXT: 8.0}
"""For a face crop, a window of 3 s and a segment of 32 tokens, on one core."""
TOKENS: Final = 32
_RUNS: Final = 100


def unit(spec: ModelSpec) -> dict[str, NDArray[Any]]:
    """One unit of an encoder's inputs, seeded noise: times do not depend on what is read."""
    random = np.random.default_rng(0)
    free = {"tokens": TOKENS}
    feed: dict[str, NDArray[Any]] = {}
    for port in spec.input:
        shape = [size if isinstance(size, int) else free.get(size, 1) for size in port.shape]
        if port.name == "attention_mask":
            feed[port.name] = np.ones(shape, port.type)
        elif np.issubdtype(np.dtype(port.type), np.integer):
            feed[port.name] = random.integers(1, 256, shape).astype(port.type)
        else:
            feed[port.name] = (0.1 * random.standard_normal(shape)).astype(port.type)
    return feed


def measure(spec: ModelSpec, pack: Path, runs: int = _RUNS) -> dict[str, float]:
    """Milliseconds of one unit by provider."""
    feed = unit(spec)
    models = [OrtModel(msgspec.structs.replace(spec, provider=wanted), pack / spec.file) for wanted in ("cpu", "auto")]
    known = {model.provider: model for model in reversed(models)}
    times = results.processor_ms_of_each([partial(model.run, feed) for model in known.values()], runs)
    return dict(zip(known, times, strict=True))


def row(spec: ModelSpec, times: Mapping[str, float]) -> dict[str, Any]:
    """What the report says of a model."""
    best = min(times, key=lambda provider: times[provider])
    limit_ms = LIMIT_MS[spec.modality]
    return {
        "sha256": spec.sha256,
        "ms": dict(times),
        "best": best,
        "manifest": spec.provider,
        "limit_ms": limit_ms,
        "within": times[best] <= limit_ms,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and print; 1 where a model is slower than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=PACK)
    pack: Path = parser.parse_args(arguments).pack
    rows = {spec.name: row(spec, measure(spec, pack)) for spec in read_manifest(pack) if spec.role == "encoder"}
    results.write(pack / "results" / "speed.json", {"machine": results.machine("each"), "models": rows})
    for name, told in rows.items():
        shown = ", ".join(
            f"{provider.removesuffix('ExecutionProvider')} {ms:.2f} ms" for provider, ms in told["ms"].items()
        )
        print(f"{name}: {shown}; allowed {told['limit_ms']:g} ms{'' if told['within'] else ': TOO SLOW'}")
    return 0 if all(told["within"] for told in rows.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
