"""Estimates for the tests of time, with what matters to a test said by name."""

from collections.abc import Mapping

import numpy as np

from sidecar.types import (
    EMOTIONS,
    AbstainReason,
    FloatArray,
    FusedEstimate,
    Modality,
    ModalityEvidence,
    Permit,
)

FACE_PERMIT = Permit("ann", Modality.FACE)


def mixture(**probabilities: float) -> FloatArray:
    """(8,) float32: what is named, and the rest of 1 spread over the others."""
    rest = (1 - sum(probabilities.values())) / max(1, len(EMOTIONS) - len(probabilities))
    return np.asarray([probabilities.get(name, rest) for name in EMOTIONS], dtype=np.float32)


def estimate(
    media_time_s: float,
    *,
    emotions: FloatArray | None = None,
    valence: float = 0.0,
    arousal: float = 0.0,
    engagement: float = 0.9,
    confusion: float = 0.1,
    frustration: float = 0.1,
    confidence: float = 0.7,
    abstain_reason: AbstainReason | None = None,
    shares: Mapping[Modality, float] | None = None,
    permits: tuple[Permit, ...] = (FACE_PERMIT,),
) -> FusedEstimate:
    emotions = mixture(neutral=0.7) if emotions is None else emotions
    return FusedEstimate(
        media_time_s=media_time_s,
        emotions=emotions,
        valence=valence,
        arousal=arousal,
        dominance=0.0,
        engagement=engagement,
        confusion=confusion,
        frustration=frustration,
        confidence=confidence,
        abstain_reason=abstain_reason,
        speaking=None,
        evidence={
            modality: ModalityEvidence(share, 0.1, 0.8, emotions, {}, "test 1")
            for modality, share in (shares or {Modality.FACE: 1.0}).items()
        },
        newest_arrived_s=media_time_s + 100,
        permits=permits,
    )
