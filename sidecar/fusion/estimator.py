"""One participant's evidence in, one estimate a second out."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import field

from sidecar.fusion.abstention import AbstentionOptions, judge
from sidecar.fusion.alignment import Alignment, AlignmentOptions, Evidence
from sidecar.fusion.baseline import Baseline, BaselineOptions
from sidecar.fusion.engagement import Second, SpeakingBehaviour
from sidecar.fusion.engagement_head import RuleScorer, Scorer
from sidecar.fusion.late import Fusion, FusionOptions, ProductOfExperts
from sidecar.types import FusedEstimate, Modality, ModalityEvidence, Options, Permit, Prediction


class EstimatorOptions(Options, frozen=True):
    """The settings of all that makes an estimate."""

    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    abstention: AbstentionOptions = field(default_factory=AbstentionOptions)
    baseline: BaselineOptions = field(default_factory=BaselineOptions)


@dataclass(frozen=True, slots=True)
class Moment:
    """What is fresh about one person at one second; nothing that changes it later reaches it."""

    media_time_s: float
    evidence: Mapping[Modality, Evidence]
    cues: Mapping[str, float]
    """The face's numbers, the brow relative to what is usual for the person."""
    speaking: SpeakingBehaviour | None


class Estimator:
    """Alignment, fusion, rules and abstention of one participant. Not thread-safe; no I/O."""

    def __init__(self, options: EstimatorOptions, fusion: Fusion | None = None, scorer: Scorer | None = None) -> None:
        self._options = options
        self._alignment = Alignment(options.alignment)
        self._fusion = fusion or ProductOfExperts(options.fusion)
        self._scorer = scorer or RuleScorer()
        self._brow = Baseline(options.baseline)

    def add(self, prediction: Prediction) -> None:
        """Take in what an encoder said of one unit."""
        self._alignment.add(prediction)

    def clear(self, modality: Modality) -> None:
        """Forget all of a modality, what is usual for the person included. Idempotent."""
        self._alignment.clear(modality)
        self._scorer.clear()
        if modality is Modality.FACE:
            self._brow = Baseline(self._options.baseline)

    @property
    def blocking(self) -> bool:
        """True where `fuse` runs a network, which takes milliseconds: call it in a thread."""
        return self._fusion.blocking or self._scorer.blocking

    def clear_scores(self) -> None:
        """Forget what the scorer remembers of the last seconds."""
        self._scorer.clear()

    def moment(self, media_time_s: float, speaking: SpeakingBehaviour | None) -> Moment | None:
        """What is fresh at `media_time_s`; None without evidence. `speaking`: None without a voice permit."""
        evidence = self._alignment.at(media_time_s)
        if not evidence:
            return None
        return Moment(media_time_s, evidence, self._face_cues(evidence, media_time_s), speaking)

    def estimate(self, media_time_s: float, speaking: SpeakingBehaviour | None) -> FusedEstimate | None:
        """`moment` and `fuse` in one call."""
        moment = self.moment(media_time_s, speaking)
        return None if moment is None else self.fuse(moment)

    def fuse(self, moment: Moment) -> FusedEstimate:
        """What the evidence of a moment says together. One call at a time."""
        evidence, speaking = moment.evidence, moment.speaking
        fused = self._fusion.fuse(evidence)
        scores = self._scorer.score(Second(moment.media_time_s, fused.emotions, fused.affect, moment.cues, speaking))
        judgement = judge(fused, evidence, scores.turned_away, self._options.abstention)
        shares = fused.shares
        return FusedEstimate(
            media_time_s=moment.media_time_s,
            emotions=fused.emotions,
            valence=fused.affect.valence,
            arousal=fused.affect.arousal,
            dominance=fused.affect.dominance,
            engagement=scores.engagement,
            confusion=scores.confusion,
            frustration=scores.frustration,
            confidence=judgement.confidence,
            abstain_reason=judgement.reason,
            speaking=None if speaking is None else speaking.speaking,
            evidence={modality: _published(each, shares[modality]) for modality, each in evidence.items()},
            newest_arrived_s=max(each.prediction.arrived_s for each in evidence.values()),
            permits=_permits(evidence, speaking),
        )

    def _face_cues(self, evidence: Mapping[Modality, Evidence], media_time_s: float) -> dict[str, float]:
        """The numbers among the face's cues, the brow relative to what is usual for the person."""
        face = evidence.get(Modality.FACE)
        if face is None:
            return {}
        cues = {name: float(value) for name, value in face.prediction.cues.items() if isinstance(value, (int, float))}
        if "brow_furrow" in cues:
            cues["brow_furrow"] = self._brow.adjust(cues["brow_furrow"], media_time_s)
        return cues


def _published(evidence: Evidence, share: float) -> ModalityEvidence:
    prediction = evidence.prediction
    return ModalityEvidence(
        share=share,
        age_s=evidence.age_s,
        quality=prediction.quality,
        emotions=prediction.probabilities,
        cues=prediction.cues,
        model=prediction.model,
    )


def _permits(evidence: Mapping[Modality, Evidence], speaking: SpeakingBehaviour | None) -> tuple[Permit, ...]:
    """Each permit once, that of the speaking behaviour included."""
    permits = [each.prediction.permit for each in evidence.values()]
    if speaking is not None:
        permits.append(speaking.permit)
    return tuple(dict.fromkeys(permits))
