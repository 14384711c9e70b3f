"""The rules say of plain cases what their sources say."""

import itertools

import numpy as np
import pytest

from sidecar.fusion.affect import expected_affect
from sidecar.fusion.engagement import LabelOptions, Scores, Second, SpeakingBehaviour, label, score
from sidecar.fusion.estimator import Estimator, EstimatorOptions
from sidecar.types import Label, Modality

from .build import LOOKING, PERMITS, mixture, prediction

NEUTRAL = mixture(neutral=0.75)
DISTRESSED = mixture(sadness=0.4, fear=0.2, anger=0.2, neutral=0.1)


def face(emotions=NEUTRAL, **cues: float) -> Scores:
    known = {name: float(value) for name, value in LOOKING.items() if isinstance(value, float)}
    return score(Second(0.0, emotions, expected_affect(emotions), {**known, **cues}, None))


def speaking(share: float) -> SpeakingBehaviour:
    return SpeakingBehaviour(True, share, PERMITS[Modality.VOICE])


@pytest.mark.parametrize("emotions", [NEUTRAL, mixture(happiness=0.8), mixture(surprise=0.6), mixture(sadness=0.5)])
def test_a_face_that_looks_and_is_awake_is_engaged(emotions):
    assert face(emotions).engagement > 0.7


@pytest.mark.parametrize(
    "cues",
    [{"yaw_deg": 36.0, "gaze_on": 0.1}, {"yaw_deg": -50.0}, {"pitch_deg": -42.0, "gaze_on": 0.2},
     {"eyes_open": 0.05, "gaze_on": 0.5}],
)  # fmt: skip
def test_a_head_turned_away_or_closed_eyes_are_not_engaged(cues):
    assert face(**cues).engagement < 0.4
    assert face(**cues).turned_away > 0.6


def test_turning_away_lowers_engagement_all_the_way():
    turned = [face(yaw_deg=float(yaw)).engagement for yaw in range(20, 41, 4)]
    assert all(more > less for more, less in itertools.pairwise(turned))


def test_a_lowered_brow_with_surprise_or_fear_is_confusion():
    puzzled = face(mixture(neutral=0.4, surprise=0.25, fear=0.15), brow_furrow=0.75, smile=0.0)
    assert puzzled.confusion > 0.5
    assert puzzled.confusion > puzzled.frustration
    assert face().confusion < 0.2
    assert face(mixture(happiness=0.8), brow_furrow=0.75, smile=0.8).confusion < 0.3


@pytest.mark.parametrize("emotions", [DISTRESSED, mixture(anger=0.6), mixture(disgust=0.5, anger=0.2)])
def test_distress_and_anger_are_frustration(emotions):
    found = face(emotions, brow_furrow=0.5)
    assert found.frustration > 0.55
    assert found.frustration > found.confusion


@pytest.mark.parametrize("emotions", [NEUTRAL, mixture(happiness=0.7), mixture(neutral=0.5, sadness=0.25)])
def test_calm_is_not_frustration(emotions):
    assert face(emotions).frustration < 0.3


def test_a_voice_alone_is_engaged_by_how_much_it_talks_and_how_lively():
    flat, lively = mixture(sadness=0.6), mixture(happiness=0.6)
    seconds = [Second(0.0, flat, expected_affect(flat), {}, speaking(share)) for share in (0.0, 0.3, 0.6, 0.9)]
    shares = [score(second).engagement for second in seconds]
    assert all(less < more for less, more in itertools.pairwise(shares))
    assert score(Second(0.0, lively, expected_affect(lively), {}, speaking(0.5))).engagement > 0.7


def test_unknown_cues_move_nothing():
    bare = score(Second(0.0, NEUTRAL, expected_affect(NEUTRAL), {}, None))
    assert bare.turned_away == 0
    assert 0.5 < bare.engagement < 0.85


@pytest.mark.parametrize("cue", ["yaw_deg", "pitch_deg", "eyes_open", "gaze_on", "brow_furrow", "smile"])
@pytest.mark.parametrize("value", [-1e6, 1e6])
def test_absurd_cues_stay_in_bounds(cue, value):
    found = face(**{cue: value})
    assert all(0 <= each <= 1 for each in (found.engagement, found.confusion, found.frustration, found.turned_away))


def estimate_of(emotions, quality=0.8, **cues):
    estimator = Estimator(EstimatorOptions())
    estimator.add(prediction(Modality.FACE, emotions, quality=quality, cues={**LOOKING, **cues}))
    return estimator.estimate(10.0, None)


@pytest.mark.parametrize(
    ("estimate", "word"),
    [
        (estimate_of(NEUTRAL), Label.ENGAGED),
        (estimate_of(NEUTRAL, yaw_deg=45.0, gaze_on=0.0, quality=0.25), Label.DISENGAGED),
        (estimate_of(mixture(neutral=0.3, surprise=0.3, fear=0.2), brow_furrow=0.8, smile=0.0), Label.CONFUSED),
        (estimate_of(np.full(8, 1 / 8, np.float32)), None),
    ],
)
def test_the_label_is_the_word_for_the_scores(estimate, word):
    assert label(estimate, LabelOptions()) is word
