"""Precisions and providers of one model side by side: accuracy on validation, processor time and size.

A smaller precision may cost a point of accuracy and no more; of those that keep within it the fastest is shipped.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import onnx

from models.evaluate.results import processor_ms
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
    found = [each for name, graph in graphs.items() for each in measure(graph, name, entry, kept.validation)]
    return found, graphs


def measure(graph: onnx.ModelProto, precision: str, entry: ModelSpec, validation: Validation) -> list[Candidate]:
    """One graph under the best and the plain provider; once, where they are the same."""
    one = {name: values[:1] for name, values in validation.examples.inputs.items()}
    candidates: list[Candidate] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(graph, path)
        for wanted in ("cpu", "auto"):
            session = OrtModel(msgspec.structs.replace(entry, provider=wanted), path)
            if any(candidate.provider == session.provider for candidate in candidates):
                continue
            candidates.append(
                Candidate(
                    precision,
                    session.provider,
                    round(validation.accuracy(session), 4),
                    round(processor_ms(lambda model=session: model.run(one)), 3),  # type: ignore[misc]  # bound now
                    round(path.stat().st_size / 1e6, 2),
                )
            )
    return candidates


def choose(candidates: Sequence[Candidate], among: Sequence[Precision] = PRECISIONS) -> Candidate:
    """The fastest within a point of FP32; the smallest where several are about as fast; where none is, the best."""
    asked = [candidate for candidate in candidates if candidate.precision in among]
    kept = [candidate for candidate in asked if loss(candidate, candidates) <= LARGEST_LOSS]
    if not kept:
        return max(asked, key=lambda candidate: candidate.accuracy)
    fastest = min(candidate.ms for candidate in kept)
    return min((each for each in kept if each.ms <= fastest * _ALIKE), key=lambda each: (each.mb, each.ms))


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
