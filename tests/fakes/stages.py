"""Stages that believe whatever a unit says, for tests of what surrounds them."""

from collections.abc import Mapping

import numpy as np

from sidecar.fusion.engagement import SpeakingBehaviour
from sidecar.fusion.engagement_head import RuleScorer
from sidecar.fusion.late import ProductOfExperts
from sidecar.types import AudioChunk, Missing, Modality, Permit, Prediction, TranscriptSegment, VideoFrame


def certain(modality: Modality, unit: AudioChunk | VideoFrame | TranscriptSegment) -> Prediction:
    """Clear evidence of happiness."""
    probabilities = np.full(8, 0.02, np.float32)
    probabilities[1] = 0.86
    return Prediction(
        modality=modality,
        probabilities=probabilities,
        expressible=np.ones(8, bool),
        valence=0.7,
        arousal=0.3,
        dominance=0.2,
        derived=False,
        quality=0.9,
        cues={"gaze_on": 1.0, "yaw_deg": 0.0, "pitch_deg": 0.0, "eyes_open": 1.0} if modality == "face" else {},
        media_time_s=unit.media_time_s,
        arrived_s=unit.arrived_s,
        model=f"fake-{modality} 1",
        permit=unit.permit,
        embedding=np.zeros(4, np.float32),
    )


class FakeStage:
    """One prediction for every unit."""

    def __init__(self, modality: Modality) -> None:
        self._modality = modality
        self.missing: Missing | None = None
        self.face_width_px: float | None = 80.0
        self._permit: Permit | None = None
        self.models: Mapping[str, str] = {f"fake-{modality}": "0" * 64}

    async def observe(self, unit: AudioChunk | VideoFrame | TranscriptSegment) -> Prediction | None:
        if self._modality is Modality.VOICE:
            self._permit = unit.permit
        return certain(self._modality, unit)

    def behaviour(self, media_time_s: float) -> SpeakingBehaviour | None:
        return None if self._permit is None else SpeakingBehaviour(True, 0.5, self._permit)


class FakeStages:
    """A `StageFactory`; keeps what it made."""

    def __init__(self) -> None:
        self.made: list[tuple[Modality, FakeStage]] = []

    def _make(self, modality: Modality) -> FakeStage:
        stage = FakeStage(modality)
        self.made.append((modality, stage))
        return stage

    def face(self) -> FakeStage:
        return self._make(Modality.FACE)

    def voice(self) -> FakeStage:
        return self._make(Modality.VOICE)

    def text(self) -> FakeStage:
        return self._make(Modality.TEXT)

    def fusion(self, product: ProductOfExperts) -> ProductOfExperts:
        return product

    def engagement(self) -> RuleScorer:
        return RuleScorer()
