"""Slices, results files and wear: what the report is made of, on answers made here."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.evaluate import answers as parts
from models.evaluate import worn_faces, worn_speech, worn_text
from models.evaluate.answers import Answers, calibrated
from models.evaluate.results import differences, read, write
from models.evaluate.slices import slices
from sidecar.inference.manifest import Calibration


def spoken(wrong_for: str | None, share_wrong: float = 0.5) -> Answers:
    """Twelve speakers, half of them women, twenty clips each of two emotions; half the clips of one gender wrong."""
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(12), 20)
    gender = np.where(people % 2, "male", "female")
    truth = np.tile([0, 1], 120)
    wrong = (gender == wrong_for) & (random.random(240) < share_wrong) | (random.random(240) < 0.1)
    shares = np.full((240, 2), 0.3)
    shares[np.arange(240), np.where(wrong, 1 - truth, truth)] = 0.7
    return Answers("acted", ("sad", "glad"), shares, truth, people.tolist(), {"gender": gender.tolist()})


def test_a_model_worse_for_one_gender_shows_a_significant_gap():
    found = slices(spoken("male"))["acted_gender"]
    assert found["gap"] > 0.3
    assert found["p"] <= 0.01
    assert found["slices"]["female"]["uar"] > found["slices"]["male"]["uar"]
    assert found["slices"]["male"] == {"uar": pytest.approx(0.45, abs=0.1), "answers": 120, "people": 6}


def test_a_fair_model_shows_none():
    found = slices(spoken(None))["acted_gender"]
    assert found["gap"] < 0.1
    assert found["p"] > 0.05


def test_too_few_people_are_not_tested():
    whole = spoken("male")
    three = Answers(
        "few",
        whole.labels,
        whole.shares[:60],
        whole.truth[:60],
        whole.people[:60],
        {"gender": whole.traits["gender"][:60]},
    )
    assert slices(three)["few_gender"]["p"] is None


def test_figures_of_answers_follow_from_them():
    head = spoken(None)
    figures = parts.figures(head)
    assert figures["acted_accuracy"] == pytest.approx((head.said == head.truth).mean())
    assert figures["acted_gain_at_80_coverage"] == pytest.approx(0, abs=0.03), "all answers are equally sure here"
    low, high = parts.intervals(head)["acted_uar"]
    assert low < figures["acted_uar"] < high
    told = parts.description(head)
    assert told["people"] == 12
    assert told["classes"]["sad"]["recall"] == pytest.approx((head.said == 0)[head.truth == 0].mean())
    assert told["reliability"] == [
        {"confidence": pytest.approx(0.7), "accuracy": pytest.approx(0.9, abs=0.04), "answers": 240}
    ]


def test_calibration_is_that_of_the_manifest():
    logits = np.array([[2.0, 0.0]], np.float32)
    scaled = calibrated(logits, Calibration(temperature=2.0, scale=(1.0, 1.0), bias=(0.0, 1.0)))
    np.testing.assert_allclose(scaled, [[0.5, 0.5]])


def test_a_results_file_comes_back_and_differences_are_named(tmp_path: Path):
    machine = {"processor": "this one", "onnxruntime": "1"}
    result = {
        "figures": {"uar": 0.123456, "f1": 0.5},
        "heads": {"a": [1, 2]},
        "timings": {"ms": 3.0},
        "machine": machine,
    }
    write(tmp_path / "face.json", result)
    committed = read(tmp_path / "face.json")
    assert committed["figures"]["uar"] == 0.1235
    assert len((tmp_path / "face.json").read_text("utf-8").splitlines()) < 12
    assert differences(committed, {**result, "timings": {"ms": 9.0}}) == []
    worse = {**result, "figures": {"uar": 0.1236, "f1": 0.4}}
    assert differences(committed, worse) == [
        "figures.f1: 0.5 committed, 0.4 now",
        "figures.uar: 0.1235 committed, 0.1236 now",
    ]
    elsewhere = {**worse, "machine": {**machine, "processor": "another"}}
    assert differences(committed, elsewhere) == ["figures.f1: 0.5 committed, 0.4 now"]
    with pytest.raises(FileNotFoundError, match=r"python -m models\.evaluate voice"):
        read(tmp_path / "voice.json")


def test_no_figure_that_is_not_a_number_enters_a_file(tmp_path: Path):
    write(tmp_path / "x.json", {"figures": {"uar": float("nan"), "n": np.int64(3), "f": np.float32(0.25)}})
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == {"figures": {"uar": None, "n": 3, "f": 0.25}}


@pytest.mark.parametrize("flaw", sorted(worn_faces.FLAWS))
def test_faces_wear_by_degrees(flaw: str):
    images = np.random.default_rng(0).integers(0, 256, (6, 48, 48), np.uint8)
    wear, degrees, _ = worn_faces.FLAWS[flaw]
    harm = [float(np.abs(wear(images, degree).astype(int) - images).mean()) for degree in degrees]
    assert harm == sorted(harm)
    assert harm[0] > 1
    np.testing.assert_array_equal(wear(images, degrees[0]), wear(images, degrees[0]))


def test_speech_wears_by_what_it_is_asked():
    random = np.random.default_rng(0)
    tone = np.sin(np.arange(48_000) / 16_000 * 2 * np.pi * 800).astype(np.float32) * 0.3
    noise = worn_speech.in_noise(tone, 10, random) - tone
    assert 10 * np.log10(np.square(tone).mean() / np.square(noise).mean()) == pytest.approx(10, abs=0.1)
    lost = worn_speech.lossy(tone, 0.4, random).reshape(-1, worn_speech.PACKET)
    assert (lost == 0).all(1).mean() == pytest.approx(0.4, abs=0.12)
    rumble = np.sin(np.arange(48_000) / 16_000 * 2 * np.pi * 60).astype(np.float32)
    assert np.square(worn_speech.by_telephone(rumble, 3400, random)).mean() < 0.01
    assert np.square(worn_speech.by_telephone(tone, 3400, random)).mean() > 0.02
    assert 20 * np.log10(np.sqrt(np.square(worn_speech.quiet(tone, -50, random)).mean())) == pytest.approx(-50, abs=0.5)
    click = np.zeros(16_000, np.float32)
    click[100] = 1
    late = worn_speech.in_a_room(click, 0.3, random)[1000:]
    assert 0.03 < np.square(late).sum() < 0.15, "60 dB in 0.3 s leave 8 % after 56 ms"


def test_text_wears_as_recognisers_write():
    texts = ["Well, I don't know. Maybe!", "This is fine."] * 50
    assert worn_text.unpunctuated(texts, 1)[0] == "well i don't know maybe"
    assert worn_text.shouted(texts, 1)[1] == "THIS IS FINE."
    lost = worn_text.missing_words(texts, 0.2)
    kept = sum(len(text.split()) for text in lost) / sum(len(text.split()) for text in texts)
    assert kept == pytest.approx(0.8, abs=0.06)
    assert all(lost)
    wrong = worn_text.wrong_words(texts, 0.4)
    assert [len(text.split()) for text in wrong] == [len(text.split()) for text in texts]
    assert wrong != texts
