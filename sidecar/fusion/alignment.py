"""The recent evidence of one participant, brought to one moment."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from msgspec import Meta

from sidecar.fusion.simplex import geometric_mean, weighted_mean
from sidecar.types import Modality, Options, Prediction

HELD: Final = 64
"""Predictions held for a modality; ten faces a second for the two seconds that they stay fresh are 20."""

Seconds = Annotated[float, Meta(gt=0, le=60)]


class AlignmentOptions(Options, frozen=True):
    """How long evidence stays fresh, and over which span it is averaged."""

    face_fresh_s: Seconds = 2.0
    voice_fresh_s: Seconds = 4.0
    text_fresh_s: Seconds = 10.0
    face_span_s: Seconds = 1.0
    voice_span_s: Seconds = 1.0
    """One hop: windows overlap, so the newest holds what the one before it held."""
    text_span_s: Seconds = 5.0

    def fresh_s(self, modality: Modality) -> float:
        return {
            Modality.FACE: self.face_fresh_s,
            Modality.VOICE: self.voice_fresh_s,
            Modality.TEXT: self.text_fresh_s,
        }[modality]

    def span_s(self, modality: Modality) -> float:
        return {
            Modality.FACE: self.face_span_s,
            Modality.VOICE: self.voice_span_s,
            Modality.TEXT: self.text_span_s,
        }[modality]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One modality's prediction, averaged over its span, at the moment of an estimate."""

    prediction: Prediction
    age_s: float
    """From the end of the newest unit to the moment of the estimate; never negative."""
    fresh_s: float
    """Age at which it goes stale."""


class Alignment:
    """Holds each modality's recent predictions of one participant; bounded."""

    def __init__(self, options: AlignmentOptions) -> None:
        self._options = options
        self._held: dict[Modality, deque[Prediction]] = {}

    def add(self, prediction: Prediction) -> None:
        """Take a prediction in. One under a new permit forgets all that came under the old."""
        held = self._held.get(prediction.modality)
        if held is None or held[-1].permit is not prediction.permit:
            held = self._held[prediction.modality] = deque(maxlen=HELD)
        held.append(prediction)

    def at(self, media_time_s: float) -> dict[Modality, Evidence]:
        """What is fresh at `media_time_s`; nothing later than it, nothing whose permit ended."""
        evidence: dict[Modality, Evidence] = {}
        for modality, held in self._held.items():
            past = [each for each in held if each.media_time_s <= media_time_s and each.permit.live]
            if not past:
                continue
            newest_s = max(each.media_time_s for each in past)
            fresh_s = self._options.fresh_s(modality)
            if media_time_s - newest_s <= fresh_s:
                span_s = self._options.span_s(modality)
                recent = [each for each in past if each.media_time_s > newest_s - span_s]
                evidence[modality] = Evidence(average(recent), media_time_s - newest_s, fresh_s)
        return evidence

    def stale(self, media_time_s: float) -> frozenset[Modality]:
        """Modalities that were heard of, but not lately."""
        return frozenset(self._held) - frozenset(self.at(media_time_s))

    def clear(self, modality: Modality) -> None:
        """Forget all of a modality. Idempotent."""
        self._held.pop(modality, None)


def average(recent: Sequence[Prediction]) -> Prediction:
    """The quality-weighted mean of predictions of one modality and one permit, stamped as the newest.

    Probabilities are averaged as logarithms, so a single wild frame does not carry the second.
    """
    newest = max(recent, key=lambda each: each.media_time_s)
    weights = [each.quality + 1e-3 for each in recent]

    def mean(values: Sequence[float]) -> float:
        return weighted_mean(values, weights)

    pooled = geometric_mean([each.probabilities for each in recent], weights) * newest.expressible
    return replace(
        newest,
        probabilities=pooled / pooled.sum(),
        valence=mean([each.valence for each in recent]),
        arousal=mean([each.arousal for each in recent]),
        dominance=mean([each.dominance for each in recent]),
        quality=sum(each.quality for each in recent) / len(recent),
        cues=_average_cues(recent, weights, newest),
        arrived_s=max(each.arrived_s for each in recent),
        familiar=mean([each.familiar for each in recent]) >= 0.5,
    )


def _average_cues(
    recent: Sequence[Prediction], weights: Sequence[float], newest: Prediction
) -> Mapping[str, float | str | None]:
    """Means of the numbers; words are the newest's."""
    cues: dict[str, float | str | None] = dict(newest.cues)
    for name in {name for each in recent for name in each.cues}:
        known = [
            (value, weight)
            for each, weight in zip(recent, weights, strict=True)
            if isinstance(value := each.cues.get(name), (int, float)) and math.isfinite(value)
        ]
        if known:
            values, portions = zip(*known, strict=True)
            cues[name] = weighted_mean(values, portions)
        elif not isinstance(cues.get(name), str):
            cues[name] = None
    return cues
