"""A learned fusion beside the product of experts. Random weights, or a network that repeats what it is told."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.train.fusion import build, export
from models.train.fusion_model import FusionMlp, FusionTransformer
from models.train.recipe import Recipe, RecipeError, read_recipe
from sidecar.clock import SystemClock
from sidecar.config import load_settings
from sidecar.engines import EngineOptions, Engines
from sidecar.errors import PackError
from sidecar.fusion.calibration import reference_prior
from sidecar.fusion.late import FusionOptions, ProductOfExperts
from sidecar.fusion.learned import WIDTH, LearnedFusion, features
from sidecar.inference.own_networks import open_fusion_network
from sidecar.telemetry import Telemetry
from sidecar.types import EMOTIONS, Modality

from .build import evidence, mixture, prediction

FACE, VOICE, TEXT = Modality.FACE, Modality.VOICE, Modality.TEXT
PRODUCT = ProductOfExperts(FusionOptions())


class Says:
    """Always the same logits; keeps what it was asked."""

    def __init__(self, logits):
        self.logits = np.asarray(logits, np.float32)[None]

    def run(self, inputs):
        self.asked = inputs["evidence"]
        return {"logits": self.logits}


def test_emotions_are_the_network_s_and_the_rest_the_product_s():
    given = evidence(prediction(FACE, mixture(anger=0.6), quality=1.0), prediction(VOICE, mixture(anger=0.5)))
    certain = np.where(np.arange(8) == EMOTIONS.index("fear"), 6.0, 0.0)
    fused, product = LearnedFusion(Says(certain), PRODUCT).fuse(given), PRODUCT.fuse(given)
    assert EMOTIONS[fused.emotions.argmax()] == EMOTIONS[fused.opinion.argmax()] == "fear"
    assert fused.emotions.sum() == pytest.approx(1, abs=1e-5)
    assert (fused.weights, fused.affect) == (product.weights, product.affect)


def test_faint_evidence_leaves_more_to_the_prior():
    certain = np.where(np.arange(8) == EMOTIONS.index("fear"), 6.0, 0.0)
    fusion = LearnedFusion(Says(certain), PRODUCT)
    full, faint = (fusion.fuse(evidence(prediction(FACE, mixture(fear=0.6), quality=q))) for q in (1.0, 0.1))
    assert reference_prior()[6] < faint.emotions[6] < full.emotions[6]
    np.testing.assert_array_equal(fusion.fuse({}).emotions, reference_prior())


def test_features_are_zero_where_a_modality_is_missing_and_shrink_with_its_weight():
    given = evidence(prediction(VOICE, mixture(sadness=0.7), unable=frozenset({"contempt"})))
    table = features(given, {VOICE: 0.5})
    assert table.shape == (3, WIDTH)
    assert not table[[0, 2]].any()
    assert table[1, 7] == 0, "what the expert cannot express has ratio 1"
    assert table[1, -1] == 0.5
    np.testing.assert_allclose(features(given, {VOICE: 0.25}), table / 2, atol=1e-6)


def test_random_transformer_runs_in_the_sidecar_as_in_torch(tmp_path: Path):
    torch.manual_seed(0)
    model = build(read_recipe("fusion-transformer", "fusion"))
    export(model, tmp_path / "fusion.onnx")
    network = open_fusion_network(tmp_path / "fusion.onnx", WIDTH)
    given = evidence(prediction(FACE, mixture(anger=0.6)), prediction(TEXT, mixture(sadness=0.7)))
    table = features(given, PRODUCT.fuse(given).weights)
    with torch.no_grad():
        expected = model(torch.from_numpy(table[None])).numpy()
    np.testing.assert_allclose(network.run({"evidence": table[None]})["logits"], expected, atol=1e-4)
    fused = LearnedFusion(network, PRODUCT).fuse(given)
    assert set(fused.shares) == {FACE, TEXT}


def test_random_transformer_does_not_read_what_is_missing():
    torch.manual_seed(0)
    model = FusionTransformer().eval()
    some = torch.rand(1, 3, WIDTH)
    some[:, 1, -1] = 0.0  # no weight: whatever else stands there
    other = some.clone()
    other[:, 1, :-1] = 5.0
    torch.testing.assert_close(model(some), model(other))


async def test_a_configured_network_that_is_missing_stops_the_start():
    settings = load_settings({})
    options = EngineOptions(fusion_model="none.onnx")
    with pytest.raises(PackError, match=r"none\.onnx: no such file"):
        async with Engines(settings.models, options, clock=SystemClock(), telemetry=Telemetry()):
            pass


def test_what_is_no_fusion_network_is_refused(tmp_path: Path):
    with pytest.raises(PackError, match=r"none\.onnx: no such file \(engines\.fusion_model\)"):
        open_fusion_network(tmp_path / "none.onnx", WIDTH)
    given = evidence(prediction(FACE, mixture(anger=0.6)))
    with pytest.raises(PackError, match="want finite"):
        LearnedFusion(Says(np.full(8, np.nan)), PRODUCT).fuse(given)
    with pytest.raises(RecipeError, match="no fusion architecture 'lstm'; there are product, mlp and transformer"):
        build(Recipe(modality="fusion", architecture="lstm", corpora=()))
    with pytest.raises(RecipeError, match="widht"):
        build(Recipe(modality="fusion", architecture="mlp", corpora=(), options={"widht": 3}))
    assert FusionMlp(width=8)(torch.zeros(2, 3, WIDTH)).shape == (2, 8)
