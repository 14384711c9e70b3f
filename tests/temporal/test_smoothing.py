"""Smoothing follows media time, not the number of estimates."""

import math

import numpy as np
import pytest

from sidecar.temporal.smoothing import Smoother, SmoothingOptions
from sidecar.types import AbstainReason, Modality, Permit

from .build import FACE_PERMIT, estimate, mixture

OPTIONS = SmoothingOptions()


def run(*estimates):
    smoother = Smoother(OPTIONS)
    return [smoother.smooth(each) for each in estimates]


def test_the_first_estimate_passes_as_it_is():
    first = estimate(5.0, frustration=0.8)
    assert run(first) == [first]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_step_is_followed_by_time_however_finely_it_is_cut(steps):
    after = run(
        estimate(0.0, frustration=0.0), *(estimate(2.0 * (n + 1) / steps, frustration=1.0) for n in range(steps))
    )[-1]
    assert after.frustration == pytest.approx(1 - math.exp(-2.0 / OPTIONS.scores_tau_s))


def test_emotions_stay_a_distribution_between_old_and_new():
    smoothed = run(
        estimate(0.0, emotions=mixture(neutral=0.9)), estimate(1.0, emotions=mixture(sadness=0.9), valence=-0.6)
    )[-1]
    assert smoothed.emotions.sum() == pytest.approx(1, abs=1e-5)
    assert mixture(neutral=0.9)[3] < smoothed.emotions[3] < 0.9
    assert smoothed.valence == pytest.approx(-0.6 * (1 - math.exp(-1 / OPTIONS.emotions_tau_s)))


def test_confidence_evidence_and_time_are_those_of_the_moment():
    smoothed = run(estimate(0.0, confidence=0.9), estimate(1.0, confidence=0.3))[-1]
    assert (smoothed.confidence, smoothed.media_time_s, smoothed.newest_arrived_s) == (0.3, 1.0, 101.0)


def test_an_abstaining_estimate_passes_and_teaches_nothing():
    doubtful = estimate(1.0, frustration=1.0, abstain_reason=AbstainReason.CONTRADICTORY)
    results = run(estimate(0.0, frustration=0.2), doubtful, estimate(2.0, frustration=0.2))
    assert results[1] is doubtful
    assert results[2].frustration == pytest.approx(0.2)


@pytest.mark.parametrize("next_s", [OPTIONS.gap_s + 0.1, -3.0])
def test_a_gap_or_a_step_back_starts_anew(next_s):
    assert run(estimate(0.0, confusion=0.0), estimate(next_s, confusion=1.0))[-1].confusion == 1.0


def test_clear_starts_anew():
    smoother = Smoother(OPTIONS)
    smoother.smooth(estimate(0.0, confusion=0.0))
    smoother.clear()
    assert smoother.smooth(estimate(1.0, confusion=1.0)).confusion == 1.0


def test_the_average_rests_on_all_that_it_remembers():
    voice = Permit("ann", Modality.VOICE)
    smoothed = run(estimate(0.0, permits=(voice,)), estimate(1.0), estimate(2.0))[-1]
    assert set(smoothed.permits) == {voice, FACE_PERMIT}


def test_bounds_hold_under_noise():
    draw = np.random.default_rng(0)
    noisy = [
        estimate(float(n), emotions=draw.dirichlet(np.full(8, 0.1)).astype(np.float32), frustration=draw.uniform())
        for n in range(200)
    ]
    for each in run(*noisy):
        assert each.emotions.sum() == pytest.approx(1, abs=1e-4)
        assert each.emotions.min() >= 0
        assert 0 <= each.frustration <= 1
