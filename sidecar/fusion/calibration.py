"""From a model's raw logits to calibrated evidence over the base emotions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import PackError
from sidecar.fusion.affect import expected_affect
from sidecar.fusion.simplex import log_of, softmax
from sidecar.types import EMOTIONS, EncoderOutput, FloatArray, Modality, Permit, Prediction

REFERENCE_PRIOR: Final = (0.270, 0.164, 0.137, 0.103, 0.131, 0.065, 0.065, 0.065)
"""How often each of EMOTIONS shows in conversation, flattened.

The square roots of the shares among MELD's training utterances (Poria et al., ACL 2019: neutral 4710, joy 1743,
surprise 1205, sadness 683, anger 1109, disgust 271, fear 268), contempt taken as rare as disgust. The root keeps
the order and halves the weight: television is not a call.
"""


def reference_prior() -> FloatArray:
    """(8,) float32, sums to 1."""
    prior = np.asarray(REFERENCE_PRIOR, dtype=np.float32)
    normalised: FloatArray = prior / prior.sum()
    return normalised


class Scaling(Protocol):
    """The manifest's `calibration`; the sequences have one number a native label."""

    @property
    def temperature(self) -> float: ...
    @property
    def scale(self) -> Sequence[float] | None: ...
    @property
    def bias(self) -> Sequence[float] | None: ...
    @property
    def prior(self) -> Sequence[float] | None:
        """Shares of the labels that the head was trained under."""
        ...

    @property
    def energy_limit(self) -> float | None: ...
    @property
    def typical(self) -> Sequence[Sequence[float]] | None:
        """A row a label: the mean logits of speech of that label over many people."""
        ...


class HeadSpec(Protocol):
    """What the manifest says of a model's emotion head."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def labels(self) -> Sequence[str]:
        """Native labels, in the order of the logits."""
        ...

    @property
    def map(self) -> Mapping[str, str]:
        """Native label to base emotion."""
        ...

    @property
    def calibration(self) -> Scaling: ...


class Encoded(Protocol):
    """What calibration needs to know of the unit that was encoded."""

    @property
    def modality(self) -> Modality: ...
    @property
    def quality(self) -> float: ...
    @property
    def cues(self) -> Mapping[str, float | str | None]: ...
    @property
    def media_time_s(self) -> float: ...
    @property
    def arrived_s(self) -> float: ...
    @property
    def permit(self) -> Permit: ...


@dataclass(frozen=True, slots=True)
class EncodedUnit:
    """The plain form of `Encoded`."""

    modality: Modality
    quality: float  # 0-1
    cues: Mapping[str, float | str | None]
    media_time_s: float  # end of the unit
    arrived_s: float
    permit: Permit


class Calibration:
    """One model's emotion head, compiled from the manifest.

    Temperature and vector scaling: Guo et al., "On calibration of modern neural networks" (ICML 2017). Native
    labels of one base emotion are summed. Where the manifest gives the `prior` that the head was trained under, the
    posterior is moved to `REFERENCE_PRIOR` (Saerens, Latinne and Decaestecker, Neural Computation 14, 2002), so that
    corpora of different balance speak on one scale; without it, it is taken as it is. `energy_limit`: logits whose free
    energy -T logsumexp(z / T) lies above it are unlike the training data (Liu et al., NeurIPS 2020).
    """

    def __init__(self, spec: HeadSpec) -> None:
        count, scaling = len(spec.labels), spec.calibration
        self.model = f"{spec.name} {spec.version}"
        self.labels = count
        self._merge = _merging(spec)  # (labels, 8)
        self.expressible: NDArray[np.bool_] = self._merge.sum(axis=0) > 0  # (8,)
        if scaling.temperature <= 0:
            raise PackError(f"{spec.name}: calibration.temperature must be above 0, is {scaling.temperature}")
        self._temperature = scaling.temperature
        self._scale = _a_label(spec, "scale", scaling.scale, np.ones(count))
        self._bias = _a_label(spec, "bias", scaling.bias, np.zeros(count))
        self._shift = self._prior_shift(spec)
        self._energy_limit = float("inf") if scaling.energy_limit is None else scaling.energy_limit
        self.typical = _typical(spec)  # (labels, labels), for `SpeakerBaseline`

    def _prior_shift(self, spec: HeadSpec) -> FloatArray:
        """(8,) float32 added to log probabilities to move them from the training prior to the reference."""
        if spec.calibration.prior is None:
            return np.zeros(len(EMOTIONS), dtype=np.float32)
        trained = _a_label(spec, "prior", spec.calibration.prior, np.zeros(self.labels)) @ self._merge
        shift: FloatArray = np.where(self.expressible, log_of(reference_prior()) - log_of(trained), 0).astype(
            np.float32
        )
        return shift

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """(8,) float32 over EMOTIONS, sums to 1, zero where not expressible. `logits`: (labels,), finite."""
        shifted = np.where(self.expressible, log_of(self.base(self.native(logits))) + self._shift, -np.inf)
        return softmax(shifted)

    def native(self, logits: FloatArray) -> FloatArray:
        """(labels,) float32 over the model's own labels, sums to 1. `logits`: (labels,), finite."""
        return softmax(logits / self._temperature * self._scale + self._bias)

    def base(self, native: FloatArray) -> FloatArray:
        """(8,) float32 over EMOTIONS: labels of one emotion summed."""
        merged: FloatArray = native @ self._merge
        return merged

    def familiar(self, logits: FloatArray) -> bool:
        """False where the logits are unlike those of the training data."""
        scaled = logits.astype(np.float64) / self._temperature
        energy = -self._temperature * (scaled.max() + np.log(np.exp(scaled - scaled.max()).sum()))
        return bool(energy <= self._energy_limit)


def to_prediction(output: EncoderOutput, calibration: Calibration, unit: Encoded) -> Prediction:
    """The calibrated evidence of one encoded unit.

    Raises `PackError` where the model's logits are not as many as its labels. Logits that are not finite count as
    evidence of quality 0 and unfamiliar, so that the estimate abstains and says why.
    """
    if output.logits.shape != (calibration.labels,):
        raise PackError(f"{calibration.model}: {output.logits.shape} logits for {calibration.labels} labels")
    sound = bool(np.isfinite(output.logits).all())
    logits = output.logits if sound else np.zeros_like(output.logits)
    probabilities = calibration.probabilities(logits)
    heads = (output.valence, output.arousal, output.dominance)
    derived = expected_affect(probabilities)
    valence, arousal, dominance = (
        float(np.clip(head, -1, 1)) if head is not None and np.isfinite(head) else fallback
        for head, fallback in zip(heads, (derived.valence, derived.arousal, derived.dominance), strict=True)
    )
    cues = dict(unit.cues) if output.sentiment is None else {**unit.cues, "sentiment": output.sentiment}
    return Prediction(
        modality=unit.modality,
        probabilities=probabilities,
        expressible=calibration.expressible,
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        derived=output.valence is None,
        quality=float(np.clip(unit.quality, 0, 1)) if sound and np.isfinite(unit.quality) else 0.0,
        cues=cues,
        media_time_s=unit.media_time_s,
        arrived_s=unit.arrived_s,
        model=calibration.model,
        permit=unit.permit,
        embedding=output.embedding,
        familiar=sound and calibration.familiar(logits),
    )


def _merging(spec: HeadSpec) -> FloatArray:
    """(labels, 8) float32 of zeros and ones. Raises `PackError` for a label that leads nowhere."""
    merge = np.zeros((len(spec.labels), len(EMOTIONS)), dtype=np.float32)
    for row, label in enumerate(spec.labels):
        base = spec.map.get(label, label)
        if base not in EMOTIONS:
            raise PackError(f"{spec.name}: label {label!r} maps to {base!r}, which is none of {', '.join(EMOTIONS)}")
        merge[row, EMOTIONS.index(base)] = 1
    if not spec.labels:
        raise PackError(f"{spec.name}: the manifest gives no labels")
    return merge


def _a_label(spec: HeadSpec, key: str, values: Sequence[float] | None, default: NDArray[np.float64]) -> FloatArray:
    """(labels,) float32. Raises `PackError` where there are more or fewer numbers than labels."""
    array = np.asarray(default if values is None else values, dtype=np.float32)
    if array.shape != default.shape:
        raise PackError(f"{spec.name}: calibration.{key} must have one number for each of {len(default)} labels")
    return array


def _typical(spec: HeadSpec) -> NDArray[np.float64] | None:
    """(labels, labels) float64. Raises `PackError` for a table that is not square over the labels."""
    rows = spec.calibration.typical
    if rows is None:
        return None
    if {len(rows), *map(len, rows)} != {len(spec.labels)}:
        raise PackError(f"{spec.name}: calibration.typical must have {len(spec.labels)} rows of as many numbers")
    return np.asarray(rows, dtype=np.float64)
