"""Says nothing when there is nothing to say, and speaks when there is."""

import itertools

import numpy as np
import pytest

from sidecar.fusion.abstention import AbstentionOptions, disagreement, judge
from sidecar.fusion.late import FusionOptions, ProductOfExperts
from sidecar.types import EMOTIONS, AbstainReason, Modality

from .build import evidence, mixture, prediction

FACE, VOICE, TEXT = Modality.FACE, Modality.VOICE, Modality.TEXT
OPTIONS = AbstentionOptions()
FUSION = ProductOfExperts(FusionOptions())


def verdict(*predictions, age_s=0.0, turned_away=0.0):
    given = evidence(*predictions, age_s=age_s)
    return judge(FUSION.fuse(given), given, turned_away, OPTIONS)


def drawn(draw, emotion, strength):
    """A noisy posterior of an expert that leans to one emotion."""
    centre = np.full(8, 0.6)
    centre[EMOTIONS.index("neutral")] += 1.0
    centre[EMOTIONS.index(emotion)] += strength
    return draw.dirichlet(centre * 2).astype(np.float32)


@pytest.mark.parametrize("modality", Modality)
@pytest.mark.parametrize("emotion", EMOTIONS)
def test_one_clear_modality_is_enough(modality, emotion):
    assert verdict(prediction(modality, mixture(**{emotion: 0.55}), quality=0.7), age_s=0.5).reason is None


def test_a_voice_that_leans_a_little_is_enough():
    said = mixture(neutral=0.4, sadness=0.2, anger=0.12, fear=0.1)
    assert verdict(prediction(VOICE, said, quality=0.7), age_s=1.0).reason is None


def test_a_faint_face_is_thin():
    assert verdict(prediction(FACE, mixture(neutral=0.5), quality=0.05)).reason is AbstainReason.THIN


def test_an_expert_without_opinion_is_thin():
    assert verdict(prediction(FACE, np.full(8, 1 / 8, np.float32), quality=1.0)).reason is AbstainReason.THIN


def test_a_face_turned_away_is_not_thin_though_its_expression_is_unread():
    face = prediction(FACE, mixture(neutral=0.3), quality=0.15)
    assert verdict(face).reason is AbstainReason.THIN
    assert verdict(face, turned_away=1.0).reason is None


def test_sure_and_opposed_is_contradictory():
    happy = prediction(FACE, mixture(happiness=0.8))
    angry = prediction(VOICE, mixture(anger=0.8))
    assert verdict(happy, angry).reason is AbstainReason.CONTRADICTORY
    assert verdict(happy, angry).confidence < verdict(happy).confidence


def test_a_smile_over_an_even_voice_is_no_contradiction():
    smile = prediction(FACE, mixture(happiness=0.8))
    even = prediction(VOICE, mixture(neutral=0.8))
    assert verdict(smile, even).reason is None


def test_a_faint_witness_contradicts_nobody():
    happy = prediction(FACE, mixture(happiness=0.8))
    angry = prediction(VOICE, mixture(anger=0.8), quality=0.05)
    assert verdict(happy, angry).reason is None


def test_unfamiliar_input_is_out_of_distribution():
    strange = prediction(FACE, mixture(happiness=0.9), familiar=False)
    assert verdict(strange).reason is AbstainReason.OUT_OF_DISTRIBUTION
    assert verdict(strange, prediction(VOICE, mixture(happiness=0.9), quality=0.1)).reason is not None


def test_conflict_abstains_at_least_twice_as_often_as_agreement():
    draw = np.random.default_rng(7)
    felt = [name for name in EMOTIONS if name != "neutral"]
    opposed = [
        (a, b) for a in felt for b in felt if (a == "happiness") != (b == "happiness") and "surprise" not in (a, b)
    ]

    def rate(pairs):
        verdicts = [
            verdict(prediction(FACE, drawn(draw, a, 5.0)), prediction(VOICE, drawn(draw, b, 5.0)))
            for a, b in pairs
            for _ in range(40)
        ]
        return np.mean([each.reason is not None for each in verdicts])

    agreeing, conflicting = rate([(name, name) for name in felt]), rate(opposed)
    assert agreeing < 0.1
    assert conflicting >= 2 * agreeing
    assert conflicting > 0.4


def test_noise_seldom_silences_a_clear_face():
    draw = np.random.default_rng(3)
    verdicts = [
        verdict(prediction(FACE, drawn(draw, emotion, 2.0), quality=float(draw.uniform(0.4, 0.9))), age_s=0.2)
        for emotion in EMOTIONS
        for _ in range(50)
    ]
    assert np.mean([each.reason is None for each in verdicts]) > 0.8


@pytest.mark.parametrize("axis", ["quality", "age_s"])
def test_confidence_falls_with_the_evidence(axis):
    said = mixture(happiness=0.6)
    steps = (
        [verdict(prediction(FACE, said, quality=q)).confidence for q in np.linspace(1, 0, 11)]
        if axis == "quality"
        else [verdict(prediction(FACE, said), age_s=age).confidence for age in np.linspace(0, 2, 11)]
    )
    assert all(more > less for more, less in itertools.pairwise(steps))
    assert 0 <= min(steps) <= max(steps) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_disagreement_is_symmetric_bounded_and_nil_with_oneself(seed):
    draw = np.random.default_rng(seed)
    one = prediction(FACE, draw.dirichlet(np.full(8, 0.2)).astype(np.float32))
    other = prediction(VOICE, draw.dirichlet(np.full(8, 0.2)).astype(np.float32), unable=frozenset({"contempt"}))
    there, back = disagreement(one, other, OPTIONS), disagreement(other, one, OPTIONS)
    assert there == pytest.approx(back, abs=1e-6)
    assert 0 <= there <= 1
    assert disagreement(one, one, OPTIONS) == pytest.approx(0, abs=1e-5)
