"""The voice model of the pack, as shipped, on people it was not trained on."""

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="needs the extra `train`")

from models.datasets import data_root, ravdess
from models.evaluate import voice as evaluation
from sidecar.inference.local import OrtModel

needs_data = pytest.mark.skipif(
    not (data_root() / "voice").is_dir(), reason="the voice corpora are absent: set SIDECAR_DATA"
)


@pytest.fixture(scope="module")
def model() -> OrtModel:
    return evaluation.open_model(evaluation.entry())


@needs_data
def test_ravdess_test_actors_meet_the_floor_and_the_manifests_figures(model: OrtModel) -> None:
    scores = evaluation.ravdess_scores(model)
    assert scores["uar"] >= 0.70
    assert scores["ece"] < 0.12
    stated = model.spec.metrics
    assert scores["uar"] == pytest.approx(stated["ravdess_uar"], abs=0.02), "providers round differently"
    assert scores["accuracy"] == pytest.approx(stated["ravdess_accuracy"], abs=0.02)


@needs_data
def test_emodb_meets_the_floor_across_languages(model: OrtModel) -> None:
    scores = evaluation.emodb_scores(model)
    assert scores["uar"] >= 0.75
    assert scores["uar"] == pytest.approx(model.spec.metrics["emodb_uar"], abs=0.02)


@needs_data
def test_live_windows_through_a_call_are_told_apart(model: OrtModel) -> None:
    assert evaluation.ravdess_scores(model, "call")["uar"] >= 0.65


@needs_data
def test_a_window_gets_the_same_answer_alone_and_in_a_batch(model: OrtModel) -> None:
    windows = np.stack([evaluation.as_recorded(clip) for clip in ravdess.load("test")[:4]])
    together = model.run({"audio": windows})
    for row, window in enumerate(windows):
        alone = model.run({"audio": window[None]})
        for name in ("logits", "embedding"):
            np.testing.assert_allclose(alone[name][0], together[name][row], atol=1e-2)


def test_silence_and_clipping_give_finite_logits(model: OrtModel) -> None:
    loud = np.sign(np.random.default_rng(0).normal(size=48_000)).astype(np.float32)
    said = model.run({"audio": np.stack([np.zeros(48_000, np.float32), loud])})
    assert all(np.isfinite(values).all() for values in said.values())
