"""Logits become honest probabilities over the base emotions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from sidecar.errors import PackError
from sidecar.fusion.affect import coordinates
from sidecar.fusion.calibration import Calibration, EncodedUnit, reference_prior, to_prediction
from sidecar.types import EMOTIONS, EncoderOutput, Modality

from .build import PERMITS

RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
TO_BASE = {"calm": "neutral", "happy": "happiness", "sad": "sadness", "angry": "anger", "fearful": "fear",
           "surprised": "surprise"}  # fmt: skip


@dataclass(frozen=True)
class Scaling:
    temperature: float = 1.0
    scale: Sequence[float] | None = None
    bias: Sequence[float] | None = None
    prior: Sequence[float] | None = None
    energy_limit: float | None = None
    typical: Sequence[Sequence[float]] | None = None


@dataclass(frozen=True)
class Head:
    name: str = "voice"
    version: str = "2"
    labels: Sequence[str] = RAVDESS
    map: Mapping[str, str] = field(default_factory=lambda: TO_BASE)
    calibration: Scaling = field(default_factory=Scaling)


UNIT = EncodedUnit(Modality.VOICE, 0.7, {"level_db": -20.0}, 5.0, 6.0, PERMITS[Modality.VOICE])


def output(logits: Sequence[float], **heads: float) -> EncoderOutput:
    return EncoderOutput(np.asarray(logits, np.float32), np.zeros(3, np.float32), **heads)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def test_native_labels_of_one_emotion_are_summed():
    logits = np.log([0.2, 0.3, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    made = to_prediction(output(logits), Calibration(Head()), UNIT)
    assert made.probabilities[EMOTIONS.index("neutral")] == pytest.approx(0.5, abs=1e-5)
    assert made.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert [name for name, able in zip(EMOTIONS, made.expressible, strict=True) if not able] == ["contempt"]
    assert made.probabilities[EMOTIONS.index("contempt")] == 0
    assert made.model == "voice 2"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_divides_the_logits(temperature):
    head = Head(labels=EMOTIONS, map={}, calibration=Scaling(temperature=temperature))
    logits = np.arange(8.0)
    np.testing.assert_allclose(Calibration(head).probabilities(logits), softmax(logits / temperature), atol=1e-5)


def test_vector_scaling_acts_on_each_label():
    scale, bias = np.linspace(0.5, 2, 8), np.linspace(-1, 1, 8)
    head = Head(labels=EMOTIONS, map={}, calibration=Scaling(scale=tuple(scale), bias=tuple(bias)))
    logits = np.linspace(2, -2, 8)
    np.testing.assert_allclose(Calibration(head).probabilities(logits), softmax(logits * scale + bias), atol=1e-5)


def test_posterior_that_equals_its_training_prior_becomes_the_reference_prior():
    prior = np.asarray([0.4, 0.3, 0.1, 0.08, 0.06, 0.03, 0.02, 0.01])
    head = Head(labels=EMOTIONS, map={}, calibration=Scaling(prior=tuple(prior)))
    np.testing.assert_allclose(Calibration(head).probabilities(np.log(prior)), reference_prior(), atol=1e-5)


def test_affect_is_derived_only_without_heads():
    logits = np.asarray([-50.0] * 8)
    logits[4] = 50
    derived = to_prediction(output(logits), Calibration(Head()), UNIT)
    assert derived.derived
    np.testing.assert_allclose(
        [derived.valence, derived.arousal, derived.dominance], coordinates()[EMOTIONS.index("anger")], atol=1e-4
    )
    own = to_prediction(output(logits, valence=0.9, arousal=-3.0, dominance=0.0), Calibration(Head()), UNIT)
    assert (own.derived, own.valence, own.arousal) == (False, pytest.approx(0.9), -1.0)


def test_sentiment_joins_the_cues():
    made = to_prediction(output([0.0] * 8, sentiment=-0.5), Calibration(Head()), UNIT)
    assert made.cues == {"level_db": -20.0, "sentiment": -0.5}


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_count_for_nothing_and_say_so(broken):
    made = to_prediction(output([broken] + [0.0] * 7), Calibration(Head()), UNIT)
    assert np.isfinite(made.probabilities).all()
    assert (made.quality, made.familiar) == (0.0, False)


@pytest.mark.parametrize("size", [1e4, -1e4, 1e30])
def test_extreme_logits_stay_on_the_simplex(size):
    made = to_prediction(output([size] + [0.0] * 7), Calibration(Head()), UNIT)
    assert made.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(made.probabilities).all()


def test_faint_logits_are_unfamiliar_where_the_manifest_sets_a_limit():
    calibration = Calibration(Head(calibration=Scaling(energy_limit=-5.0)))
    assert to_prediction(output([9.0] + [0.0] * 7), calibration, UNIT).familiar
    assert not to_prediction(output([0.1] + [0.0] * 7), calibration, UNIT).familiar


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (Head(map={**TO_BASE, "sad": "misery"}), "'sad' maps to 'misery'"),
        (Head(labels=()), "no labels"),
        (Head(calibration=Scaling(temperature=0.0)), "temperature"),
        (Head(calibration=Scaling(bias=(1.0,))), "calibration.bias"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(head, says):
    with pytest.raises(PackError, match=says):
        Calibration(head)


def test_as_many_logits_as_labels():
    with pytest.raises(PackError, match="labels"):
        to_prediction(output([0.0] * 7), Calibration(Head()), UNIT)
