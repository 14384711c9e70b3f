"""The voice model of the pack, as shipped, on people it was not trained on."""

import numpy as np
import pytest

from models.datasets import data_root, emodb, ravdess
from models.evaluate import voice as evaluation
from sidecar.fusion.calibration import Calibration
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


def unlike_speech() -> dict[str, np.ndarray]:
    """White and brown noise, a mains hum, a chord, clicks and silence."""
    random, time_s = np.random.default_rng(0), np.arange(48_000) / 16_000
    white = random.normal(0, 0.05, 48_000)
    chord = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k for pitch_hz in (196, 262, 330) for k in (1, 2, 3))
    return {
        "white noise": white,
        "brown noise": np.fft.irfft(np.fft.rfft(white) / np.maximum(np.arange(24_001), 20)) * 20,
        "hum": 0.1 * np.sign(np.sin(2 * np.pi * 50 * time_s)) + random.normal(0, 0.01, 48_000),
        "chord": 0.05 * chord * (1 + 0.3 * np.sin(4 * np.pi * time_s)),
        "clicks": (random.random(48_000) < 5e-4) * random.normal(0, 0.5, 48_000),
        "silence": np.zeros(48_000),
    }


@needs_data
def test_noise_and_music_are_unfamiliar_and_speech_of_another_language_is_not(model: OrtModel) -> None:
    head = Calibration(model.spec)
    for name, samples in unlike_speech().items():
        assert not head.familiar(model.run({"audio": samples[None].astype(np.float32)})["logits"][0]), name
    spoken = [evaluation.as_recorded(clip) for clip in (*emodb.load()[::20], *ravdess.load("test")[::12])]
    known = [head.familiar(logits) for logits in model.run({"audio": np.stack(spoken)})["logits"]]
    assert np.mean(known) > 0.9


@needs_data
def test_what_is_ones_own_is_taken_off_without_erasing_who_shows_one_emotion(model: OrtModel) -> None:
    stated = model.spec.metrics
    assert stated["emodb_speaker_uar"] > stated["emodb_uar"] + 0.015
    assert stated["emodb_single_uar"] > stated["emodb_uar"] - 0.03
