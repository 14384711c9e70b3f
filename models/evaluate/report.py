"""The one structure of all results files, whatever the modality."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.evaluate import answers as parts
from models.evaluate.answers import Answers
from models.evaluate.metrics import Figure, bootstrap_interval
from models.evaluate.results import identity, machine
from models.evaluate.slices import slices
from sidecar.fusion.calibration import Calibration
from sidecar.inference.local import OrtModel
from sidecar.types import EMOTIONS, FloatArray


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a modality's evaluation found."""

    heads: Sequence[Answers]
    """The answers on each test set, which get intervals, slices and coverage."""
    figures: Mapping[str, float]
    """Every figure, those of the heads included."""
    bounded: Mapping[str, tuple[Figure, Sequence[Any]]] = field(default_factory=dict)
    """Further figures that get an interval: over which rows, and whose they are."""
    robustness: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """Flaw -> degree -> figure -> value."""
    distribution: Mapping[str, float] = field(default_factory=dict)
    """Share of each base emotion in what the product would say on validation; the reference of the drift monitor."""
    unsliced: str = ""
    """Which traits the corpora don't carry."""
    notes: Sequence[str] = ()


def tables(report: Report, model: OrtModel, timings: Mapping[str, float]) -> dict[str, Any]:
    """The report as its file has it."""
    found: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for head in report.heads:
        found |= slices(head)
        intervals |= parts.intervals(head)
    intervals |= {name: bootstrap_interval(figure, people) for name, (figure, people) in report.bounded.items()}
    return {
        "model": identity(model.spec),
        "figures": dict(report.figures),
        "intervals": intervals,
        "heads": {head.name or model.spec.modality: parts.description(head) for head in report.heads},
        "slices": {**found, "absent": report.unsliced},
        "robustness": report.robustness,
        "distribution": report.distribution,
        "notes": list(report.notes),
        "timings": dict(timings),
        "machine": machine(model.provider),
    }


def said_by_the_product(model: OrtModel, logits: FloatArray) -> dict[str, float]:
    """Share of each base emotion among the likeliest, calibrated and moved to the product's prior as in a call."""
    calibration = Calibration(model.spec)
    said = [int(calibration.probabilities(row).argmax()) for row in logits]
    counts = np.bincount(said, minlength=len(EMOTIONS))
    return {emotion: count / len(said) for emotion, count in zip(EMOTIONS, counts.tolist(), strict=True)}


def curves(
    flaws: Mapping[str, tuple[Callable[..., Any], tuple[float, ...], str]],
    figures: Callable[[Callable[[Any], Any]], Mapping[str, float]],
    worn: Callable[[Callable[..., Any], float], Callable[[Any], Any]],
) -> dict[str, dict[str, Mapping[str, float]]]:
    """For each flaw and degree, the figures of the inputs so worn; `as it is` is the same inputs unworn."""
    plain = figures(lambda inputs: inputs)
    return {
        flaw: {"as it is": plain} | {f"{degree:g} {unit}".strip(): figures(worn(wear, degree)) for degree in degrees}
        for flaw, (wear, degrees, unit) in flaws.items()
    }
