"""Engagement, confusion and frustration by cited rules, which stand as data in `engagement.toml`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from sidecar.fusion.affect import Affect
from sidecar.types import EMOTIONS, FloatArray, FusedEstimate, Label, Options, Permit

Feature = Literal[
    "attention", "gaze_on", "brow_furrow", "smile", "speech_share", "valence", "arousal", "displeasure", "agitation",
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt",
]  # fmt: skip
Score = Annotated[float, Meta(ge=0, le=1)]


class LabelOptions(Options, frozen=True):
    """From which score on a label is given."""

    engaged: Score = 0.5
    confused: Score = 0.5


@dataclass(frozen=True, slots=True)
class SpeakingBehaviour:
    """What one person's voice activity says, whatever the words; rests on the voice permit."""

    speaking: bool
    speech_share: float  # 0-1, share of the last 20 s in which the person spoke
    permit: Permit


@dataclass(frozen=True, slots=True)
class Second:
    """What is fused and observed of one person at one second: all that scores rest on."""

    media_time_s: float
    emotions: FloatArray  # (8,) over EMOTIONS
    affect: Affect
    cues: Mapping[str, float]  # those of the face that are known: `gaze_on`, `yaw_deg`, ...
    speaking: SpeakingBehaviour | None  # None without a voice permit


@dataclass(frozen=True, slots=True)
class Scores:
    """The answers of the rules, 0-1 each."""

    engagement: float
    confusion: float
    frustration: float
    turned_away: float
    """How clearly the face shows no attention; 0 without a face."""


class _Ramp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    zero: float
    one: float

    def __call__(self, value: float) -> float:
        return float(np.clip((value - self.zero) / (self.one - self.zero), 0, 1))


class _Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    feature: Feature
    weight: float
    centre: float
    source: str


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bias: float
    term: tuple[_Term, ...]

    def __call__(self, features: Mapping[str, float]) -> float:
        logit = self.bias + sum(
            term.weight * (features[term.feature] - term.centre) for term in self.term if term.feature in features
        )
        return 1 / (1 + math.exp(-logit))


class _Ramps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    facing: _Ramp
    awake: _Ramp


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ramp: _Ramps
    engagement: _Rule
    confusion: _Rule
    frustration: _Rule


@cache
def _rules() -> _Rules:
    packed = resources.files(__package__).joinpath("engagement.toml").read_bytes()
    return msgspec.toml.decode(packed, type=_Rules)


def score(second: Second) -> Scores:
    """Apply the rules, which look at one second alone."""
    rules, affect, cues = _rules(), second.affect, second.cues
    displeasure = max(0.0, -affect.valence)
    features: dict[str, float] = {
        **{name: float(value) for name, value in zip(EMOTIONS, second.emotions, strict=True)},
        "valence": affect.valence,
        "arousal": affect.arousal,
        "displeasure": displeasure,
        "agitation": displeasure * max(0.0, affect.arousal),
        **{name: min(max(cues[name], 0.0), 1.0) for name in ("gaze_on", "brow_furrow", "smile") if name in cues},
    }
    attention = _attention(cues, rules.ramp)
    if attention is not None:
        features["attention"] = attention
    if second.speaking is not None:
        features["speech_share"] = second.speaking.speech_share
    return Scores(
        rules.engagement(features),
        rules.confusion(features),
        rules.frustration(features),
        turned_away=0.0 if attention is None else 1 - attention,
    )


def _attention(cues: Mapping[str, float], ramps: _Ramps) -> float | None:
    """0-1 from head pose and open eyes; None where neither is known."""
    if "yaw_deg" not in cues and "eyes_open" not in cues:
        return None
    angle_deg = math.hypot(cues.get("yaw_deg", 0.0), cues.get("pitch_deg", 0.0))
    return ramps.facing(angle_deg) * (ramps.awake(cues["eyes_open"]) if "eyes_open" in cues else 1.0)


def label(estimate: FusedEstimate, options: LabelOptions) -> Label | None:
    """The one word for a person at this moment, or None when abstaining.

    Confusion is a state of somebody who takes part (D'Mello and Graesser, 2012), so disengagement is told first.
    """
    if estimate.abstain_reason is not None:
        return None
    if estimate.engagement < options.engaged:
        return Label.DISENGAGED
    if estimate.confusion >= options.confused:
        return Label.CONFUSED
    return Label.ENGAGED
