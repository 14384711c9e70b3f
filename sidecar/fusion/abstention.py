"""When to say nothing, and how sure to be otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.fusion.alignment import Evidence
from sidecar.fusion.late import Fused
from sidecar.fusion.simplex import jensen_shannon, sharpness
from sidecar.types import EMOTIONS, AbstainReason, Modality, Options, Prediction

Portion = Annotated[float, Meta(ge=0, le=1)]


class AbstentionOptions(Options, frozen=True):
    """Where the lines are drawn."""

    evidence_scale: Annotated[float, Meta(gt=0)] = 0.25
    """Total weight at which 63 % of the confidence that evidence can give is reached."""
    confidence_floor: Portion = 0.25
    conflict: Portion = 0.35
    """Disagreement from which two modalities contradict each other."""
    witness_weight: Portion = 0.1
    """A modality below this weight is too faint to contradict another."""
    opposed_valence: Portion = 0.3
    """Two valences of opposite sign, both at least this far from 0, are opposed."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far an estimate can be trusted."""

    confidence: float  # 0-1
    reason: AbstainReason | None


def judge(
    fused: Fused, evidence: Mapping[Modality, Evidence], turned_away: float, options: AbstentionOptions
) -> Judgement:
    """Confidence and, where it does not suffice, the reason to abstain.

    Confidence is the product of three parts, each 0-1: how much evidence there is (1 - exp(-weight / scale)),
    how far the modalities agree, and how much they say: the square root of 1 - normalised entropy, or
    `turned_away` (0-1, how clearly a face is turned away or asleep), since a person who plainly looks elsewhere is
    well read whatever the expression.
    """
    predictions = [
        each.prediction for modality, each in evidence.items() if fused.weights[modality] >= options.witness_weight
    ]
    conflict = max((disagreement(a, b, options) for a, b in combinations(predictions, 2)), default=0.0)
    amount = 1 - float(np.exp(-sum(fused.weights.values()) / options.evidence_scale))
    said = max(float(np.sqrt(sharpness(fused.opinion))), turned_away)
    confidence = float(np.clip(amount * (1 - conflict) * said, 0, 1))
    return Judgement(confidence, _reason(fused, evidence, conflict, confidence, options))


def _reason(
    fused: Fused,
    evidence: Mapping[Modality, Evidence],
    conflict: float,
    confidence: float,
    options: AbstentionOptions,
) -> AbstainReason | None:
    strange = sum(share for modality, share in fused.shares.items() if not evidence[modality].prediction.familiar)
    if strange > 0.5:
        return AbstainReason.OUT_OF_DISTRIBUTION
    if conflict >= options.conflict:
        return AbstainReason.CONTRADICTORY
    if confidence < options.confidence_floor:
        return AbstainReason.THIN
    return None


def disagreement(first: Prediction, second: Prediction, options: AbstentionOptions) -> float:
    """0 (agree) to 1 (each is sure of another emotion).

    The Jensen-Shannon divergence (Lin, IEEE Transactions on Information Theory 37, 1991) between the two over what
    both can express beside neutral, times the lesser of their shares of emotion: an expression beside a neutral
    modality is not a contradiction, it is a person who smiles and speaks evenly. Emotions of like valence are near
    each other, so the divergence counts half unless the valences are opposed.
    """
    moved = first.expressible & second.expressible & (np.arange(len(EMOTIONS)) != EMOTIONS.index("neutral"))
    one, other = first.probabilities * moved, second.probabilities * moved
    least = min(float(one.sum()), float(other.sum()))
    if least <= 0:
        return 0.0
    divergence = jensen_shannon(one / one.sum(), other / other.sum())
    opposed = (
        first.valence * second.valence < 0 and min(abs(first.valence), abs(second.valence)) >= options.opposed_valence
    )
    return float(np.clip(divergence * least * (1.0 if opposed else 0.5), 0, 1))
