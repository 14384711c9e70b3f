"""Words for the second and third tier."""

import pytest

from sidecar.temporal.taxonomy import _taxonomy, blend, granular
from sidecar.types import EMOTIONS, AbstainReason

from .build import estimate, mixture


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_has_three_degrees_that_intensity_climbs(emotion):
    words = [
        granular(estimate(0.0, emotions=mixture(**{emotion: probability}), arousal=arousal))
        for probability, arousal in [(0.4, -0.5), (0.6, 0.05), (0.95, 0.8)]
    ]
    assert words == list(_taxonomy().granular.emotion[emotion].words)


def test_words_are_not_shared_between_emotions():
    words = [word for degrees in _taxonomy().granular.emotion.values() for word in degrees.words]
    assert len(words) == len(set(words)) == 3 * len(EMOTIONS)


def test_no_word_without_a_leading_emotion_or_when_abstaining():
    assert granular(estimate(0.0, emotions=mixture(neutral=0.2, anger=0.25))) is None
    assert granular(estimate(0.0, emotions=mixture(anger=0.9), abstain_reason=AbstainReason.THIN)) is None


@pytest.mark.parametrize(
    ("emotions", "word"),
    [
        (mixture(happiness=0.45, surprise=0.4), "delight"),
        (mixture(anger=0.4, disgust=0.4), "hostility"),
        (mixture(fear=0.5, sadness=0.3), "despair"),
        (mixture(neutral=0.5, happiness=0.22, surprise=0.22), "delight"),
        (mixture(happiness=0.8, surprise=0.1), None),
        (mixture(happiness=0.4, sadness=0.4), None),
        (mixture(neutral=0.9), None),
    ],
)
def test_two_strong_emotions_blend_where_a_rule_says_so(emotions, word):
    assert blend(estimate(0.0, emotions=emotions)) == word


def test_no_blend_when_abstaining():
    doubtful = estimate(0.0, emotions=mixture(anger=0.4, disgust=0.4), abstain_reason=AbstainReason.CONTRADICTORY)
    assert blend(doubtful) is None


def test_rules_name_emotions_that_there_are_and_no_pair_twice():
    pairs = [pair.of for pair in _taxonomy().blend.pair]
    assert all(len(pair) == 2 and pair <= set(EMOTIONS) for pair in pairs)
    assert len(pairs) == len(set(pairs))
