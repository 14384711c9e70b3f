"""From what the pipeline found to the `data` of events."""

from collections.abc import Mapping

from sidecar.schema import Emotions, Episode, Estimate, ModalityData
from sidecar.types import (
    EpisodeChange,
    FloatArray,
    FusedEstimate,
    Label,
    Missing,
    Modality,
    ModalityEvidence,
    emotions_by_name,
)


def estimate_data(
    room: str,
    identity: str,
    estimate: FusedEstimate,
    *,
    label: Label | None,
    words: tuple[str | None, str | None],
    missing: Mapping[Modality, Missing],
    latency_s: float,
) -> Estimate:
    """An estimate as published; `words` are those of the second and third tier."""
    abstained = estimate.abstain_reason is not None

    def stated(value: float) -> float | None:
        return None if abstained else _rounded(value)

    return Estimate(
        room=room,
        identity=identity,
        media_time_s=_rounded(estimate.media_time_s),
        label=None if abstained else label,
        abstained=abstained,
        abstain_reason=estimate.abstain_reason,
        confidence=_rounded(estimate.confidence),
        engagement=stated(estimate.engagement),
        confusion=stated(estimate.confusion),
        frustration=stated(estimate.frustration),
        valence=stated(estimate.valence),
        arousal=stated(estimate.arousal),
        dominance=stated(estimate.dominance),
        emotions=None if abstained else _emotions(estimate.emotions),
        granular=None if abstained else words[0],
        blend=None if abstained else words[1],
        speaking=estimate.speaking,
        modalities={modality: _modality(evidence) for modality, evidence in estimate.evidence.items()},
        missing=dict(missing),
        latency_ms=round(max(0.0, latency_s) * 1000, 1),
        models={modality: evidence.model for modality, evidence in estimate.evidence.items()},
    )


def episode_data(room: str, identity: str, change: EpisodeChange) -> Episode:
    """An episode's start, update or end as published."""
    return Episode(
        room=room,
        identity=identity,
        episode=change.episode,
        kind=change.kind,
        phase=change.phase,
        probability=_rounded(change.probability),
        confidence=_rounded(change.confidence),
        started_media_time_s=_rounded(change.started_media_time_s),
        duration_s=_rounded(change.duration_s),
        evidence={modality: _rounded(share) for modality, share in change.evidence.items()},
        end_reason=change.end_reason,
    )


def _modality(evidence: ModalityEvidence) -> ModalityData:
    return ModalityData(
        share=_rounded(evidence.share),
        age_s=_rounded(max(0.0, evidence.age_s)),
        quality=_rounded(evidence.quality),
        emotions=_emotions(evidence.emotions),
        cues={name: _rounded(cue) if isinstance(cue, float) else cue for name, cue in evidence.cues.items()},
    )


def _emotions(probabilities: FloatArray) -> Emotions:
    return Emotions(**emotions_by_name(probabilities))


def _rounded(value: float) -> float:
    return round(float(value), 4)
