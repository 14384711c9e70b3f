"""Scores late fusion and its abstention, as shipped: `python -m models.evaluate.fusion`.

Units of the test splits put together by emotion (see `fusion_cases.py`) go through the encoders of the pack and the
production `Estimator`. The figure that matters: how much oftener it abstains where modalities contradict each other.
Writes `models/results/fusion.json`. Run it again when an encoder of the pack changes; it takes a minute of one core.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.evaluate.encoders import encoder
from models.evaluate.fusion_cases import CACHE, QUALITY, Case, Shelf, open_shelf
from models.evaluate.results import PACK, identity, machine, write
from sidecar.fusion.estimator import Estimator, EstimatorOptions
from sidecar.fusion.late import Fusion
from sidecar.types import AbstainReason, FusedEstimate, Modality

RESULTS: Final = PACK / "results" / "fusion.json"
EACH: Final = 30
"""Cases of each emotion, or each two of them, and each set of modalities."""
AGE_S: Final = 0.5
"""Of the units at the moment of the estimate."""
NOTES: Final = (
    "No corpus on hand has three modalities: units of FER+ test faces, RAVDESS actors 18-20 and GoEmotions and MELD "
    "test texts are put together by their labels. Real modalities of one moment depend on each other.",
    "Agreeing: one emotion in each modality, each emotion equally often. Conflicting: happiness in one modality "
    "against sadness, anger, disgust or fear in another.",
    f"Units are {AGE_S} s old and of quality {QUALITY}; no speaking behaviour, no cues of the face.",
    "alone_*: the same units, one modality at a time, through the same Estimator.",
    "The fusion's options and its learned forms were chosen on the validation splits.",
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one case."""

    members: tuple[Modality, ...]
    right: bool
    confidence: float
    reason: AbstainReason | None


def judge(cases: Iterable[Case], options: EstimatorOptions, fusion: Fusion | None = None) -> list[Judged]:
    """Each case through an estimator of its own."""
    judged = []
    for case in cases:
        estimate = estimate_of(case, options, fusion)
        judged.append(
            Judged(
                tuple(each.modality for each in case.predictions),
                int(estimate.emotions.argmax()) == case.emotion,
                estimate.confidence,
                estimate.abstain_reason,
            )
        )
    return judged


def estimate_of(case: Case, options: EstimatorOptions, fusion: Fusion | None = None) -> FusedEstimate:
    """The production estimate `AGE_S` after the units."""
    estimator = Estimator(options, fusion)
    for prediction in case.predictions:
        estimator.add(prediction)
    newest_s = max(prediction.media_time_s for prediction in case.predictions)
    estimate = estimator.estimate(newest_s + AGE_S, None)
    assert estimate is not None, "the units are fresh"
    return estimate


def abstained(judged: Sequence[Judged]) -> float:
    """Share of the cases about which the product says nothing."""
    return float(np.mean([each.reason is not None for each in judged]))


def accuracy(judged: Sequence[Judged]) -> float:
    """Share of the cases whose likeliest emotion is the right one, abstained or not."""
    return float(np.mean([each.right for each in judged]))


def evaluate(
    pack: Path = PACK,
    split: str = "test",
    fusion: Fusion | None = None,
    options: EstimatorOptions | None = None,
    cache: Path = CACHE,
) -> dict[str, float]:
    """All figures of `split`. `fusion`: another one than the product of experts."""
    return figures(open_shelf(split, pack, cache), options or EstimatorOptions(), fusion)


def figures(
    shelf: Shelf, options: EstimatorOptions, fusion: Fusion | None = None, each: int = EACH
) -> dict[str, float]:
    """The same, of units already read."""
    agreeing = judge(shelf.agreeing(each, 2), options, fusion)
    conflicting = judge(shelf.conflicting(each), options, fusion)
    three = judge(shelf.agreeing(each, 3), options, fusion)
    alone = judge(shelf.agreeing(each, 1), options, fusion)
    said = [case for case in agreeing if case.reason is None]
    surest = sorted(agreeing, key=lambda case: -case.confidence)[: round(0.8 * len(agreeing))]
    found = {
        "agreeing_abstained": abstained(agreeing),
        "conflicting_abstained": abstained(conflicting),
        "conflicting_over_agreeing": abstained(conflicting) / max(abstained(agreeing), 1e-9),
        "agreeing_contradictory": _share(agreeing, AbstainReason.CONTRADICTORY),
        "conflicting_contradictory": _share(conflicting, AbstainReason.CONTRADICTORY),
        "three_agreeing_abstained": abstained(three),
        "agreeing_accuracy": accuracy(agreeing),
        "agreeing_accuracy_where_said": accuracy(said),
        "agreeing_gain_at_80_coverage": accuracy(surest) - accuracy(agreeing),
        "three_agreeing_accuracy": accuracy(three),
    }
    for modality in Modality:
        found[f"alone_{modality}_accuracy"] = accuracy([case for case in alone if case.members == (modality,)])
        found[f"alone_{modality}_abstained"] = abstained([case for case in alone if case.members == (modality,)])
    for members in sorted({case.members for case in agreeing}):
        name = "_".join(members)
        for kind, cases in (("agreeing", agreeing), ("conflicting", conflicting)):
            found[f"{name}_{kind}_abstained"] = abstained([case for case in cases if case.members == members])
    return found


def _share(judged: Sequence[Judged], reason: AbstainReason) -> float:
    return float(np.mean([each.reason is reason for each in judged]))


def result(pack: Path, compared: Mapping[str, Any]) -> dict[str, Any]:
    """The whole results file."""
    return {
        "models": [identity(encoder(modality, pack)) for modality in Modality],
        "machine": machine("whichever serves each encoder"),
        "figures": evaluate(pack),
        "compared": dict(compared),
        "notes": NOTES,
    }


def main() -> None:
    """Evaluate, write and print; keeps what the recipes noted of the learned fusions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=PACK, metavar="DIR", help="folder of a manifest.toml")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to write")
    options = parser.parse_args()
    before = json.loads(options.results.read_text("utf-8")) if options.results.exists() else {}
    write(options.results, result(options.pack, before.get("compared", {})))
    print(options.results.read_text("utf-8"), end="")


if __name__ == "__main__":
    main()
