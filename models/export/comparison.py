"""Precisions and providers of one model side by side: accuracy on validation, processor time and size.

A smaller precision may cost a point of accuracy and no more; of those that keep within it the fastest is shipped.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import onnx

from models.evaluate.results import processor_ms_of_each
from models.export.examples import Validation
from models.export.graph import TOLERANCE, ParityError
from models.export.kept import Kept
from models.export.precision import PRECISIONS, Precision, convert
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec

PLAIN: Final = "CPUExecutionProvider"
LARGEST_LOSS: Final = 0.01
"""Accuracy, as a share, that a smaller precision may cost against FP32."""
_ALIKE: Final = 1.05
"""Times within this factor of each other count as equal; then the smaller file is shipped."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model, measured on this machine."""

    precision: str
    """One of `PRECISIONS`; `shipped` where only the file tells."""
    provider: str
    accuracy: float
    """On validation, 0-1."""
    ms: float
    """Processor time of one example."""
    mb: float
    """Size of the file."""


def compare(
    kept: Kept, entry: ModelSpec, precisions: Sequence[Precision] = PRECISIONS
) -> tuple[list[Candidate], Mapping[str, onnx.ModelProto]]:
    """Every precision of the FP32 graph under the best and the plain provider of this machine, and the graphs."""
    graphs: dict[str, onnx.ModelProto] = {
        precision: convert(kept.graph, precision, kept.calibration.feeds(), kept.whole) for precision in precisions
    }
    return measure(graphs, entry, kept.validation), graphs


def measure(graphs: Mapping[str, onnx.ModelProto], entry: ModelSpec, validation: Validation) -> list[Candidate]:
    """Graphs by precision, each under the plain and the best provider; once, where they are the same."""
    one = {name: values[:1] for name, values in validation.examples.inputs.items()}
    opened: list[tuple[str, OrtModel, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for precision, graph in graphs.items():
            path = Path(folder) / f"{precision}.onnx"
            onnx.save(graph, path)
            plain, best = (
                OrtModel(msgspec.structs.replace(entry, provider=wanted), path) for wanted in ("cpu", "auto")
            )
            sessions = [plain] if plain.provider == best.provider else [plain, best]
            opened += [(precision, session, path.stat().st_size / 1e6) for session in sessions]
    times = processor_ms_of_each([partial(session.run, one) for _, session, _ in opened])
    return [
        Candidate(precision, session.provider, round(validation.accuracy(session), 4), round(ms, 3), round(mb, 2))
        for (precision, session, mb), ms in zip(opened, times, strict=True)
    ]


def choose(candidates: Sequence[Candidate], among: Sequence[Precision] = PRECISIONS) -> Candidate:
    """The fastest within a point of FP32; where several are about as fast the smallest, the accelerated one of these.

    Where none is within a point, the best.
    """
    asked = [candidate for candidate in candidates if candidate.precision in among]
    kept = [candidate for candidate in asked if loss(candidate, candidates) <= LARGEST_LOSS]
    if not kept:
        return max(asked, key=lambda candidate: candidate.accuracy)
    fastest = min(candidate.ms for candidate in kept)
    return min(
        (each for each in kept if each.ms <= fastest * _ALIKE),
        key=lambda each: (each.mb, each.provider == PLAIN, each.ms),
    )


def loss(candidate: Candidate, candidates: Sequence[Candidate]) -> float:
    """Accuracy that a candidate gives away against FP32, rounded to the digits of the report."""
    whole = max(each.accuracy for each in candidates if each.precision == "fp32")
    return round(whole - candidate.accuracy, 4)


def require_parity(name: str, difference: float, shipped: Candidate, candidates: Sequence[Candidate]) -> None:
    """Raise `ParityError` where the FP32 graph or the shipped precision strays too far from the module."""
    if not difference <= TOLERANCE:
        raise ParityError(f"{name}: FP32 differs from torch by {difference:.2e}, more than {TOLERANCE}")
    if loss(shipped, candidates) > LARGEST_LOSS:
        raise ParityError(
            f"{name}: {shipped.precision} loses {100 * loss(shipped, candidates):.1f} points of accuracy against FP32, "
            f"more than {100 * LARGEST_LOSS:.0f}; ship another precision"
        )
