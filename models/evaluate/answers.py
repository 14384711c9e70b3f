"""What one head answered on one test set, and every figure that follows from it."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.evaluate import metrics
from models.evaluate.metrics import Rows
from sidecar.inference.manifest import Calibration

COVERAGES: Final = (1.0, 0.9, 0.8, 0.7, 0.6)
BOUNDED: Final = ("accuracy", "uar", "macro_f1")
"""The figures that get an interval."""


@dataclass(frozen=True, slots=True)
class Answers:
    """n answers of one head."""

    name: str
    """Begins the names of its figures; empty for a model of one head and one corpus."""
    labels: tuple[str, ...]
    shares: NDArray[np.float64]  # (n, labels), calibrated
    truth: NDArray[np.int64]  # (n,) into labels
    people: Sequence[Hashable]
    """Whose each row is; `range(n)` where the corpus names nobody."""
    traits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What the corpus says of each row, by trait: gender, age, language. The slices are cut along them."""

    @property
    def said(self) -> NDArray[np.int64]:
        """(n,) the likeliest label."""
        said: NDArray[np.int64] = self.shares.argmax(1)
        return said

    def prefixed(self, figure: str) -> str:
        """The figure's name in the results."""
        return f"{self.name}_{figure}" if self.name else figure


def calibrated(logits: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float64]:
    """(n, labels) as the product makes them: softmax(logits / temperature * scale + bias)."""
    scaled = logits.astype(np.float64) / calibration.temperature
    if calibration.scale is not None:
        scaled = scaled * np.asarray(calibration.scale)
    if calibration.bias is not None:
        scaled = scaled + np.asarray(calibration.bias)
    return metrics.probabilities(scaled, 1.0)


def figures(answers: Answers) -> dict[str, float]:
    """The plain figures, by name; `gain_at_80_coverage` is the accuracy won by abstaining on a fifth."""
    truth, said, shares = answers.truth, answers.said, answers.shares
    sure = metrics.accuracy_at_coverage(shares, truth, 0.8)
    values = {
        "accuracy": metrics.accuracy(truth, said),
        "uar": metrics.uar(truth, said),
        "macro_f1": metrics.macro_f1(truth, said),
        "ece": metrics.ece(shares, truth),
        "brier": metrics.brier(shares, truth),
        "gain_at_80_coverage": sure - metrics.accuracy(truth, said),
    }
    return {answers.prefixed(name): value for name, value in values.items()}


def intervals(answers: Answers) -> dict[str, tuple[float, float]]:
    """95 % intervals, drawing whole people."""
    truth, said = answers.truth, answers.said

    def interval(name: str) -> tuple[float, float]:
        figure = getattr(metrics, name)

        def of(rows: Rows) -> float:
            return float(figure(truth[rows], said[rows]))

        return metrics.bootstrap_interval(of, answers.people)

    return {answers.prefixed(name): interval(name) for name in BOUNDED}


def description(answers: Answers) -> dict[str, Any]:
    """Coverage, calibration, classes and confusion, as the results file keeps them."""
    truth, said, shares = answers.truth, answers.said, answers.shares
    diagram = metrics.reliability(shares, truth)
    counts = metrics.confusion(truth, said, len(answers.labels))
    f1 = metrics.per_class_f1(truth, said, len(answers.labels))
    return {
        "answers": len(truth),
        "people": len(set(answers.people)),
        "coverage": {
            f"{coverage:.0%}": metrics.accuracy_at_coverage(shares, truth, coverage) for coverage in COVERAGES
        },
        "reliability": [
            {"confidence": diagram.confidence[i], "accuracy": diagram.accuracy[i], "answers": int(diagram.count[i])}
            for i in np.flatnonzero(diagram.count)
        ],
        "classes": {
            label: {
                "answers": int(counts[i].sum()),
                "recall": counts[i, i] / counts[i].sum(),
                "f1": f1[i],
                "said_instead": {answers.labels[j]: int(counts[i, j]) for j in np.flatnonzero(counts[i]) if j != i},
            }
            for i, label in enumerate(answers.labels)
            if counts[i].sum()
        },
    }
