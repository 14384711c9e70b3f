"""Late fusion: one distribution from what each modality says by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

import numpy as np
from msgspec import Meta

from sidecar.fusion.affect import Affect
from sidecar.fusion.alignment import Evidence
from sidecar.fusion.calibration import reference_prior
from sidecar.fusion.simplex import log_of, softmax, weighted_mean
from sidecar.types import FloatArray, Modality, Options, Prediction

Portion = Annotated[float, Meta(gt=0, le=1)]


class FusionOptions(Options, frozen=True):
    """How far each modality is believed."""

    face_reliability: Portion = 1.0
    voice_reliability: Portion = 0.8
    text_reliability: Portion = 0.6
    quality_floor: Portion = 0.02
    """What is left of a modality's weight at quality 0; keeps shares defined."""
    dependence: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """0 treats modalities as independent witnesses, 1 as copies of one witness."""
    derived_weight: Portion = 0.3
    """Weight of a valence, arousal or dominance derived from emotions beside one from a head."""

    def reliability(self, modality: Modality) -> float:
        return {
            Modality.FACE: self.face_reliability,
            Modality.VOICE: self.voice_reliability,
            Modality.TEXT: self.text_reliability,
        }[modality]


@dataclass(frozen=True, slots=True)
class Fused:
    """What the modalities say together."""

    emotions: FloatArray  # (8,) float32, sums to 1
    opinion: FloatArray  # (8,) float32, sums to 1: as if the total weight were one full witness
    affect: Affect
    weights: Mapping[Modality, float]
    """Effective weight of each modality, above 0, at most 1."""

    @property
    def shares(self) -> dict[Modality, float]:
        """The weights, normalised; they sum to 1."""
        total = sum(self.weights.values())
        return {modality: weight / total for modality, weight in self.weights.items()}


class Fusion(Protocol):
    """One way of making one estimate of several."""

    @property
    def blocking(self) -> bool:
        """True where `fuse` runs a network."""
        ...

    def fuse(self, evidence: Mapping[Modality, Evidence]) -> Fused:
        """Total: no evidence gives the prior."""
        ...


class ProductOfExperts:
    """Calibrated product of experts over a class prior.

    p(c) is proportional to prior(c) times the product over modalities of (p_m(c) / prior(c)) ** (share_m x pull): naive
    Bayes fusion (the product rule of Kittler et al., "On combining classifiers", PAMI 20, 1998) with exponents for
    belief in each expert (Genest and Zidek, "Combining probability distributions", Statistical Science 1, 1986;
    Hinton, "Training products of experts", Neural Computation 14, 2002). A modality's weight is its reliability x
    quality x age decay, which is a half at the age where evidence goes stale; its share is its part of the total
    weight. pull = total ** (1 - dependence): one full witness counts as itself, faint ones leave more to the prior,
    and several count as more than one but less than their number, because face, voice and words of one second are
    not independent.
    """

    blocking: ClassVar[bool] = False

    def __init__(self, options: FusionOptions) -> None:
        self._options = options
        self._prior = reference_prior()

    def fuse(self, evidence: Mapping[Modality, Evidence]) -> Fused:
        weights = {modality: self._weight(modality, each) for modality, each in evidence.items()}
        total = sum(weights.values())
        if not evidence:
            return Fused(self._prior, self._prior, Affect(0.0, 0.0, 0.0), weights)
        ratios = sum(
            (weights[modality] * log_likelihood_ratio(each.prediction) for modality, each in evidence.items()),
            start=np.zeros_like(self._prior),
        )
        opinion = softmax(log_of(self._prior) + ratios / total)
        emotions = softmax(log_of(self._prior) + ratios / total * self.pull(weights))
        return Fused(emotions, opinion, self._affect(evidence, weights), weights)

    def pull(self, weights: Mapping[Modality, float]) -> float:
        """How far evidence of these weights moves the prior: 1 for one full witness."""
        return float(sum(weights.values()) ** (1 - self._options.dependence))

    def _weight(self, modality: Modality, evidence: Evidence) -> float:
        floor = self._options.quality_floor
        quality = floor + (1 - floor) * min(max(evidence.prediction.quality, 0.0), 1.0)
        decay: float = 0.5 ** (evidence.age_s / evidence.fresh_s)
        return self._options.reliability(modality) * quality * decay

    def _affect(self, evidence: Mapping[Modality, Evidence], weights: Mapping[Modality, float]) -> Affect:
        """Weighted means, in which heads outweigh derived values."""
        predictions = [each.prediction for each in evidence.values()]
        portions = [
            weights[each.modality] * (self._options.derived_weight if each.derived else 1.0) for each in predictions
        ]

        def mean(values: list[float]) -> float:
            return min(max(weighted_mean(values, portions), -1.0), 1.0)

        return Affect(
            mean([each.valence for each in predictions]),
            mean([each.arousal for each in predictions]),
            mean([each.dominance for each in predictions]),
        )


def log_likelihood_ratio(prediction: Prediction) -> FloatArray:
    """(8,) float32: log of posterior over prior among what the expert can express, 0 (ratio 1) elsewhere."""
    able = prediction.expressible
    prior = np.where(able, reference_prior(), 0)
    ratio: FloatArray = np.where(able, log_of(prediction.probabilities) - log_of(prior / prior.sum()), 0)
    return ratio
