"""One participant's estimates rest on what is there, and on nothing that was taken back."""

import numpy as np
import pytest

from sidecar.errors import PermitRevoked
from sidecar.fusion.baseline import Baseline, BaselineOptions
from sidecar.fusion.engagement import SpeakingBehaviour
from sidecar.fusion.estimator import Estimator, EstimatorOptions
from sidecar.types import AbstainReason, Modality, Permit

from .build import LOOKING, PERMITS, mixture, prediction

FACE, VOICE, TEXT = Modality.FACE, Modality.VOICE, Modality.TEXT


def estimator(*predictions):
    made = Estimator(EstimatorOptions())
    for each in predictions:
        made.add(each)
    return made


def test_nothing_heard_is_no_estimate():
    assert estimator().estimate(1.0, None) is None
    assert estimator(prediction(FACE, mixture(happiness=0.8), media_time_s=1)).estimate(9.0, None) is None


def test_the_estimate_carries_what_it_rests_on():
    voice_permit = Permit("ann", VOICE)
    made = estimator(
        prediction(FACE, mixture(happiness=0.7), media_time_s=9.8),
        prediction(TEXT, mixture(happiness=0.6), media_time_s=7.0),
    ).estimate(10.0, SpeakingBehaviour(True, 0.4, voice_permit))
    assert made is not None
    assert set(made.evidence) == {FACE, TEXT}
    assert sum(each.share for each in made.evidence.values()) == pytest.approx(1)
    assert made.evidence[TEXT].age_s == pytest.approx(3.0)
    assert made.newest_arrived_s == pytest.approx(109.8)
    assert made.speaking is True
    assert made.permits == (PERMITS[FACE], PERMITS[TEXT], voice_permit)
    voice_permit.revoke()
    with pytest.raises(PermitRevoked):
        made.check()


def test_an_abstaining_estimate_still_shows_each_modality():
    made = estimator(prediction(FACE, mixture(happiness=0.85)), prediction(VOICE, mixture(anger=0.85))).estimate(
        10.0, None
    )
    assert made is not None
    assert made.abstain_reason is AbstainReason.CONTRADICTORY
    np.testing.assert_allclose(made.evidence[VOICE].emotions, mixture(anger=0.85), atol=1e-5)


def test_clearing_a_modality_leaves_the_other():
    made = estimator(prediction(FACE, mixture(happiness=0.85)), prediction(VOICE, mixture(anger=0.85)))
    made.clear(VOICE)
    after = made.estimate(10.0, None)
    assert after is not None
    assert set(after.evidence) == {FACE}
    assert after.emotions[1] > 0.5


def frowning(at_s, brow):
    return prediction(FACE, mixture(neutral=0.7), media_time_s=at_s, cues={**LOOKING, "brow_furrow": brow})


def test_a_brow_always_low_is_in_time_no_frown_and_clear_forgets_the_person():
    made = estimator()
    confusion = []
    for second in range(600):
        made.add(frowning(float(second), 0.7))
        estimate = made.estimate(float(second), None)
        assert estimate is not None
        confusion.append(estimate.confusion)
    assert confusion[-1] < confusion[0] / 2
    made.clear(FACE)
    made.add(frowning(600.0, 0.7))
    again = made.estimate(600.0, None)
    assert again is not None
    assert again.confusion == pytest.approx(confusion[0], abs=1e-6)


def test_twenty_seconds_of_distress_hardly_move_what_is_usual():
    baseline = Baseline(BaselineOptions())
    for second in range(60):
        baseline.adjust(0.2, float(second))
    for second in range(60, 80):
        baseline.adjust(0.9, float(second))
    assert baseline.adjust(0.9, 80.0) > 0.8


def test_the_baseline_shrinks_to_the_population_while_little_is_known():
    assert Baseline(BaselineOptions()).adjust(0.9, 0.0) == pytest.approx(0.9)
