"""The laws of the product of experts."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from sidecar.fusion.calibration import reference_prior
from sidecar.fusion.late import FusionOptions, ProductOfExperts
from sidecar.types import EMOTIONS, Modality

from .build import evidence, mixture, prediction

FACE, VOICE, TEXT = Modality.FACE, Modality.VOICE, Modality.TEXT
FUSION = ProductOfExperts(FusionOptions())


def random_predictions(seed):
    draw = np.random.default_rng(seed)
    return [
        prediction(modality, draw.dirichlet(np.full(8, 0.3)).astype(np.float32), quality=float(draw.uniform()))
        for modality in Modality
    ]


def test_no_evidence_is_the_prior():
    fused = FUSION.fuse({})
    np.testing.assert_allclose(fused.emotions, reference_prior(), atol=1e-6)
    assert fused.shares == {}


def test_one_full_witness_is_its_own_posterior():
    said = mixture(anger=0.5, sadness=0.2)
    fused = FUSION.fuse(evidence(prediction(FACE, said, quality=1.0)))
    np.testing.assert_allclose(fused.emotions, said, atol=1e-4)
    assert fused.shares == {FACE: 1.0}


def test_one_fainter_witness_keeps_its_order_against_the_prior():
    said = mixture(anger=0.5, sadness=0.2)
    fused = FUSION.fuse(evidence(prediction(FACE, said, quality=0.4)))
    np.testing.assert_array_equal(np.argsort(fused.emotions / reference_prior()), np.argsort(said / reference_prior()))
    np.testing.assert_allclose(fused.opinion, said, atol=1e-4)
    assert reference_prior()[4] < fused.emotions[4] < said[4]


def test_a_class_that_an_expert_cannot_express_keeps_its_prior():
    fused = FUSION.fuse(evidence(prediction(FACE, mixture(anger=0.9), quality=1.0, unable=frozenset({"contempt"}))))
    assert fused.emotions[EMOTIONS.index("contempt")] == pytest.approx(reference_prior()[7], abs=1e-4)


def test_an_uninformed_expert_changes_nothing():
    said = prediction(FACE, mixture(fear=0.6), quality=1.0)
    vague = prediction(VOICE, reference_prior(), quality=1.0)
    alone = ProductOfExperts(FusionOptions(dependence=0.0)).fuse(evidence(said)).emotions
    beside = ProductOfExperts(FusionOptions(dependence=0.0)).fuse(evidence(said, vague)).emotions
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_agreement_is_surer_than_either():
    face = prediction(FACE, mixture(happiness=0.6), quality=0.9)
    voice = prediction(VOICE, mixture(happiness=0.6), quality=0.9)
    both = FUSION.fuse(evidence(face, voice)).emotions[1]
    assert both > FUSION.fuse(evidence(face)).emotions[1]
    assert both > FUSION.fuse(evidence(voice)).emotions[1]


@pytest.mark.parametrize("seed", range(8))
def test_order_of_modalities_does_not_matter(seed):
    results = [FUSION.fuse(evidence(*order)) for order in permutations(random_predictions(seed))]
    for each in results[1:]:
        np.testing.assert_allclose(each.emotions, results[0].emotions, atol=1e-6)
        assert each.shares == pytest.approx(results[0].shares)


@pytest.mark.parametrize("seed", range(8))
def test_sums_and_bounds(seed):
    fused = FUSION.fuse(evidence(*random_predictions(seed)))
    assert fused.emotions.sum() == pytest.approx(1, abs=1e-5)
    assert fused.opinion.sum() == pytest.approx(1, abs=1e-5)
    assert sum(fused.shares.values()) == pytest.approx(1)
    assert all(-1 <= value <= 1 for value in (fused.affect.valence, fused.affect.arousal, fused.affect.dominance))


@pytest.mark.parametrize("modality", Modality)
def test_worse_quality_and_more_age_lower_the_share_step_by_step(modality):
    others = [prediction(each, mixture(neutral=0.6), quality=0.7) for each in Modality if each is not modality]

    def share(quality, age_s):
        mine = evidence(prediction(modality, mixture(neutral=0.6), quality=quality), age_s=age_s)
        return FUSION.fuse(evidence(*others) | mine).shares[modality]

    by_quality = [share(quality, 0.0) for quality in np.linspace(1, 0, 11)]
    by_age = [share(0.8, age_s) for age_s in np.linspace(0, 2, 11)]
    assert all(better > worse for better, worse in pairwise(by_quality))
    assert all(newer > older for newer, older in pairwise(by_age))
    assert by_quality[-1] > 0


def test_certainties_that_contradict_stay_finite():
    sure = [np.eye(8, dtype=np.float32)[n] for n in range(3)]
    fused = FUSION.fuse(evidence(*(prediction(m, p, quality=1.0) for m, p in zip(Modality, sure, strict=True))))
    assert np.isfinite(fused.emotions).all()
    assert fused.emotions.sum() == pytest.approx(1, abs=1e-5)


def test_a_head_outweighs_a_derived_value():
    head = prediction(VOICE, mixture(neutral=0.9), quality=0.8, affect=(0.8, 0.6, 0.0))
    derived = prediction(FACE, mixture(neutral=0.9), quality=0.8)
    affect = FUSION.fuse(evidence(head, derived)).affect
    assert affect.valence > (0.8 + derived.valence) / 2
