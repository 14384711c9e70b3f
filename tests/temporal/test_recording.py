"""Neutral, distressed, neutral: from noisy predictions through fusion and smoothing to episodes."""

import numpy as np
import pytest

from sidecar.fusion.engagement import LabelOptions, SpeakingBehaviour, label
from sidecar.fusion.estimator import Estimator, EstimatorOptions
from sidecar.temporal.episodes import EpisodeOptions, Episodes
from sidecar.temporal.smoothing import Smoother, SmoothingOptions
from sidecar.types import EndReason, EpisodeKind, EpisodePhase, Label, Modality
from tests.fusion.build import LOOKING, PERMITS, mixture, prediction

NEUTRAL = mixture(neutral=0.6, sadness=0.15)
DISTRESSED = mixture(sadness=0.35, fear=0.15, anger=0.2, neutral=0.2)


class Recording:
    """Sixty seconds of a face at five frames a second, with the noise of a small network and of mesh geometry."""

    def __init__(self, seed):
        self._draw = np.random.default_rng(seed)

    def face(self, at_s, emotions, brow=0.2, **cues):
        noisy = self._draw.dirichlet(emotions.astype(float) * 12 + 0.05).astype(np.float32)
        wobble = {
            "brow_furrow": float(np.clip(brow + self._draw.normal(0, 0.1), 0, 1)),
            "gaze_on": float(np.clip(0.8 + self._draw.normal(0, 0.15), 0, 1)),
            "yaw_deg": float(self._draw.normal(4, 4)),
            "eyes_open": 0.05 if self._draw.uniform() < 0.05 else 0.7,
        }
        quality = float(self._draw.uniform(0.5, 0.9))
        return prediction(Modality.FACE, noisy, media_time_s=at_s, quality=quality, cues={**LOOKING, **wobble, **cues})

    def voice(self, at_s, emotions):
        noisy = self._draw.dirichlet(emotions.astype(float) * 8 + 0.1).astype(np.float32)
        return prediction(Modality.VOICE, noisy, media_time_s=at_s, quality=float(self._draw.uniform(0.4, 0.9)))

    def play(self, of_second, voice=False):
        """`of_second(t) -> (emotions, brow, cues)`; returns readings and episode changes."""
        estimator, smoother = Estimator(EstimatorOptions()), Smoother(SmoothingOptions())
        episodes = Episodes(EpisodeOptions())
        readings, changes = [], []
        for second in range(1, 61):
            emotions, brow, cues = of_second(second)
            for frame in range(5):
                estimator.add(self.face(second - 1 + (frame + 1) / 5, emotions, brow, **cues))
            if voice:
                estimator.add(self.voice(float(second), emotions))
            behaviour = SpeakingBehaviour(True, 0.4, PERMITS[Modality.VOICE]) if voice else None
            estimate = estimator.estimate(float(second), behaviour)
            assert estimate is not None
            readings.append(smoother.smooth(estimate))
            changes += episodes.advance(float(second), readings[-1])
        return readings, changes


def distress(second):
    return (DISTRESSED, 0.5, {}) if 20 <= second < 40 else (NEUTRAL, 0.2, {})


def starts_and_ends(changes):
    return [(each.phase, each.kind) for each in changes if each.phase is not EpisodePhase.UPDATE]


@pytest.mark.parametrize("voice", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_distress_is_one_start_and_one_end(seed, voice):
    _, changes = Recording(seed).play(distress, voice)
    assert starts_and_ends(changes) == [
        (EpisodePhase.START, EpisodeKind.FRUSTRATION_SPIKE),
        (EpisodePhase.END, EpisodeKind.FRUSTRATION_SPIKE),
    ]
    assert 19 <= changes[0].started_media_time_s <= 30
    assert 40 <= changes[-1].media_time_s <= 52
    assert changes[-1].end_reason is EndReason.RECOVERED


@pytest.mark.parametrize("seed", range(6))
def test_a_head_turned_away_is_one_spell_of_low_engagement(seed):
    def away(second):
        return (NEUTRAL, 0.2, {"yaw_deg": 45.0, "gaze_on": 0.05} if 20 <= second < 40 else {})

    readings, changes = Recording(seed).play(lambda second: (away(second)[0], *away(second)[1:]))
    assert starts_and_ends(changes) == [
        (EpisodePhase.START, EpisodeKind.ENGAGEMENT_LOW),
        (EpisodePhase.END, EpisodeKind.ENGAGEMENT_LOW),
    ]
    labels = [label(each, LabelOptions()) for each in readings]
    assert labels[30] is Label.DISENGAGED
    assert labels[10] is labels[55] is Label.ENGAGED


@pytest.mark.parametrize("emotions", [NEUTRAL, mixture(happiness=0.7, neutral=0.2), mixture(neutral=0.45, sadness=0.3)])
@pytest.mark.parametrize("seed", range(6))
def test_an_even_minute_is_no_episode_and_seldom_silent(seed, emotions):
    readings, changes = Recording(seed).play(lambda second: (emotions, 0.25, {}), voice=True)
    assert changes == []
    assert np.mean([each.abstain_reason is None for each in readings]) >= 0.9
    assert np.mean([label(each, LabelOptions()) is Label.ENGAGED for each in readings]) >= 0.9
