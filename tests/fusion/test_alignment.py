"""Evidence of several rates, brought to one moment."""

import numpy as np
import pytest

from sidecar.fusion.alignment import HELD, Alignment, AlignmentOptions
from sidecar.types import EMOTIONS, Modality, Permit

from .build import LOOKING, mixture, prediction

HAPPY = mixture(happiness=0.9)
SAD = mixture(sadness=0.9)


def aligned(*predictions):
    alignment = Alignment(AlignmentOptions())
    for each in predictions:
        alignment.add(each)
    return alignment


@pytest.mark.parametrize(("modality", "limit_s"), [(Modality.FACE, 2), (Modality.VOICE, 4), (Modality.TEXT, 10)])
def test_evidence_goes_stale_at_its_limit(modality, limit_s):
    alignment = aligned(prediction(modality, HAPPY, media_time_s=10))
    assert alignment.at(10 + limit_s)[modality].age_s == limit_s
    assert alignment.stale(10 + limit_s) == frozenset()
    assert alignment.at(10 + limit_s + 0.01) == {}
    assert alignment.stale(10 + limit_s + 0.01) == {modality}


def test_what_was_never_heard_of_is_not_stale():
    assert aligned().stale(5) == frozenset()


def test_the_second_of_a_face_is_weighted_by_quality():
    sharp = [prediction(Modality.FACE, HAPPY, media_time_s=9.2 + 0.2 * n, quality=0.9) for n in range(4)]
    blurred = prediction(Modality.FACE, SAD, media_time_s=10.0, quality=0.05)
    seen = aligned(*sharp, blurred).at(10.0)[Modality.FACE].prediction
    assert EMOTIONS[int(np.argmax(seen.probabilities))] == "happiness"
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert seen.quality == pytest.approx((4 * 0.9 + 0.05) / 5)
    assert seen.arrived_s == blurred.arrived_s
    assert seen.media_time_s == 10.0


def test_older_than_the_span_does_not_count():
    seen = aligned(
        prediction(Modality.FACE, SAD, media_time_s=8.9), prediction(Modality.FACE, HAPPY, media_time_s=10.0)
    ).at(10.0)[Modality.FACE]
    np.testing.assert_allclose(seen.prediction.probabilities, HAPPY, atol=1e-5)


def test_later_than_the_moment_does_not_count():
    alignment = aligned(
        prediction(Modality.FACE, SAD, media_time_s=10.0), prediction(Modality.FACE, HAPPY, media_time_s=10.6)
    )
    np.testing.assert_allclose(alignment.at(10.0)[Modality.FACE].prediction.probabilities, SAD, atol=1e-5)


def test_cues_are_averaged_over_what_is_known():
    def face(at_s, **cues):
        return prediction(Modality.FACE, HAPPY, media_time_s=at_s, cues={**LOOKING, **cues})

    alignment = aligned(
        face(9.6, yaw_deg=10.0, gaze_on=None), face(9.8, yaw_deg=20.0, gaze_on=float("nan")), face(10.0, yaw_deg=30.0)
    )
    cues = alignment.at(10.0)[Modality.FACE].prediction.cues
    assert cues["yaw_deg"] == pytest.approx(20)
    assert cues["gaze_on"] == pytest.approx(0.9)


def test_a_cue_that_nobody_knows_is_none_and_words_are_the_newest():
    first = prediction(Modality.TEXT, HAPPY, media_time_s=9, cues={"language": "en", "sentiment": float("nan")})
    second = prediction(Modality.TEXT, HAPPY, media_time_s=10, cues={"language": "de", "sentiment": None})
    assert aligned(first, second).at(10)[Modality.TEXT].prediction.cues == {"language": "de", "sentiment": None}


def test_a_new_permit_forgets_what_came_under_the_old():
    renewed = Permit("ann", Modality.FACE)
    alignment = aligned(
        prediction(Modality.FACE, SAD, media_time_s=9.8),
        prediction(Modality.FACE, HAPPY, media_time_s=10.0, permit=renewed),
    )
    seen = alignment.at(10.0)[Modality.FACE].prediction
    np.testing.assert_allclose(seen.probabilities, HAPPY, atol=1e-5)
    assert seen.permit is renewed


def test_a_revoked_permit_leaves_nothing():
    permit = Permit("ann", Modality.FACE)
    alignment = aligned(prediction(Modality.FACE, HAPPY, permit=permit))
    permit.revoke()
    assert alignment.at(10.0) == {}


def test_clear_forgets_one_modality_only():
    alignment = aligned(prediction(Modality.FACE, HAPPY), prediction(Modality.VOICE, SAD))
    alignment.clear(Modality.FACE)
    alignment.clear(Modality.FACE)
    assert set(alignment.at(10.0)) == {Modality.VOICE}


def test_what_is_held_is_bounded():
    alignment = aligned(*(prediction(Modality.FACE, HAPPY, media_time_s=n * 1e-4) for n in range(HELD * 4)))
    assert len(alignment._held[Modality.FACE]) == HELD
