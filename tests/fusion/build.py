"""Predictions and evidence for the tests, with what matters to a test said by name."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from sidecar.fusion.affect import expected_affect
from sidecar.fusion.alignment import Evidence
from sidecar.types import EMOTIONS, FloatArray, Modality, Permit, Prediction

PERMITS = MappingProxyType({modality: Permit("ann", modality) for modality in Modality})
FRESH_S = MappingProxyType({Modality.FACE: 2.0, Modality.VOICE: 4.0, Modality.TEXT: 10.0})
NOBODY_SAYS = frozenset[str]()

LOOKING: Mapping[str, float | str | None] = {
    "smile": 0.1, "brow_furrow": 0.2, "eyes_open": 0.8, "mouth_open": 0.1,
    "gaze_on": 0.9, "yaw_deg": 3.0, "pitch_deg": -5.0, "roll_deg": 0.0,
}  # fmt: skip
"""Cues of a face that looks at its camera."""


def mixture(**probabilities: float) -> FloatArray:
    """(8,) float32: what is named, and the rest of 1 spread over the others."""
    rest = (1 - sum(probabilities.values())) / max(1, len(EMOTIONS) - len(probabilities))
    return np.asarray([probabilities.get(name, rest) for name in EMOTIONS], dtype=np.float32)


def prediction(
    modality: Modality,
    probabilities: FloatArray,
    *,
    media_time_s: float = 10.0,
    quality: float = 0.8,
    cues: Mapping[str, float | str | None] | None = None,
    affect: tuple[float, float, float] | None = None,
    unable: frozenset[str] = NOBODY_SAYS,
    permit: Permit | None = None,
    familiar: bool = True,
) -> Prediction:
    expressible = np.asarray([name not in unable for name in EMOTIONS])
    said = np.where(expressible, probabilities, 0).astype(np.float32)
    said /= said.sum()
    derived = expected_affect(said)
    valence, arousal, dominance = affect or (derived.valence, derived.arousal, derived.dominance)
    return Prediction(
        modality=modality,
        probabilities=said,
        expressible=expressible,
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        derived=affect is None,
        quality=quality,
        cues=cues if cues is not None else (LOOKING if modality is Modality.FACE else {}),
        media_time_s=media_time_s,
        arrived_s=media_time_s + 100,
        model=f"{modality}-test 1",
        permit=permit or PERMITS[modality],
        embedding=np.zeros(4, dtype=np.float32),
        familiar=familiar,
    )


def evidence(*predictions: Prediction, age_s: float = 0.0) -> dict[Modality, Evidence]:
    return {each.modality: Evidence(each, age_s, FRESH_S[each.modality]) for each in predictions}
