"""Leaks that were put there are found, through the ways in which copies differ; likeness alone is no leak."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.datasets import data_root
from models.datasets.corpus import Sample
from models.datasets.splits import Parts
from models.evaluate import leaks, leaks_audio, leaks_images, leaks_text
from models.train.call_audio import through_opus, with_noise

from .datasets.layouts import write

RAVDESS = data_root() / "voice" / "ravdess"


def speechlike(seed: int, seconds: float = 2.0) -> np.ndarray:
    """A voice of nobody: harmonics of a wandering pitch under wandering formants, in syllables."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000))
    slow = [np.interp(time, np.linspace(0, len(time), 12), random.uniform(-1, 1, 12)) for _ in range(4)]
    phase = np.cumsum(2 * np.pi * (150 + 60 * slow[0]) / 16_000)
    voice = sum(
        np.sin(k * phase) / (1 + ((k * 150 - 700 - 400 * slow[1]) / 300) ** 2) * (1 + slow[2 + k % 2])
        for k in range(1, 14)
    )
    return (0.1 * voice * (1.1 + np.sin(2 * np.pi * 4 * time / 16_000))).astype(np.float32)


def test_a_recording_is_known_again_encoded_cut_quieter_and_in_noise() -> None:
    originals = [speechlike(seed) for seed in range(6)]
    worn = through_opus(originals[2], 16_000)[1234:] * 0.4
    noisy = with_noise(originals[4], np.random.default_rng(0))
    prints = [leaks_audio.fingerprint(samples) for samples in (*originals, worn, noisy)]
    found = leaks_audio.copies(prints, [0] * 6 + [1] * 2)
    assert [(one, other) for one, other, _ in found] == [(2, 6), (4, 7)]
    assert leaks_audio.copies(prints, [0] * 8) == [], "copies on one side are no leak"


@pytest.mark.skipif(not RAVDESS.is_dir(), reason="RAVDESS is absent: set SIDECAR_DATA")
def test_one_sentence_said_twice_by_one_actor_is_no_copy() -> None:
    takes = [soundfile.read(path, dtype="float32")[0] for path in sorted(RAVDESS.glob("03-01-05-*-01-*-01.flac"))]
    assert len(takes) >= 4
    prints = [leaks_audio.fingerprint(take) for take in takes]
    assert leaks_audio.copies(prints, list(range(len(takes)))) == []


def faces(count: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures of nobody."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 6, 6))
    rows = np.stack([[np.interp(np.linspace(0, 5, 48), range(6), line) for line in each] for each in coarse])
    full = np.stack([[np.interp(np.linspace(0, 5, 48), range(6), line) for line in each.T] for each in rows])
    return full.transpose(0, 2, 1).astype(np.uint8)


def test_a_picture_is_known_again_darker_and_with_grain() -> None:
    train, test = faces(40), faces(40, seed=1)
    grain = np.random.default_rng(2).normal(0, 4, (48, 48))
    test[7] = np.clip(train[3] * 0.6 + 20 + grain, 0, 255).astype(np.uint8)
    test[9] = train[5]
    assert [(i, j) for i, j, _ in leaks_images.alike(list(train), list(test))] == [(3, 7), (5, 9)]


def test_words_inside_words_whatever_their_case() -> None:
    train = ["It was, frankly, the best film of the year so far.", "thank you", "not a good day at all", "I see"]
    test = ["The best film of the year!", "Thank you", "He said: not a good day at all.", "the best day of the year"]
    assert leaks_text.contained(train, test) == [(0, 0), (2, 2)]


def parts_of_texts() -> Parts:
    return {
        "train": (Sample("a", "ann", None, text="you are late once again"), Sample("b", "ben", None, text="oh no")),
        "test": (Sample("c", "ann", None, text="You are late once again?"), Sample("d", None, None, text="oh no")),
    }


def test_news_is_what_is_not_known(tmp_path: Path) -> None:
    parts = parts_of_texts()
    found = leaks.same_person("mine", parts) + leaks.texts("mine", parts)
    assert [(leak.check, leak.names) for leak in found] == [
        ("same person", ("ann", "ann")),
        ("text in text", ("a", "c")),
    ]
    known = tmp_path / "leaks.toml"
    write(
        known, '[[known]]\ncorpus = "mine"\ncheck = "same person"\nsplits = ["train", "test"]\ncount = 1\nwhy = "so"\n'
    )
    person, text = leaks.report(found, known)
    assert (person.news, text.news) == (False, True)
    assert "a | c" in str(text)
    (grown,) = leaks.report([found[0], found[0]], known)
    assert grown.news, "one more of a known kind is news"


def test_the_command_fails_where_a_folder_leaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for person, split in (("ann", "train"), ("ben", "valid"), ("cem", "test")):
        for i, label in enumerate(("happy", "sad")):
            (tmp_path / label).mkdir(exist_ok=True)
            seed = 99 if (person, label) in (("ann", "sad"), ("cem", "sad")) else len(split) * 10 + ord(person[0]) + i
            soundfile.write(tmp_path / label / f"{person}_1.wav", speechlike(seed), 16_000)
    rows = [f"{label}/{who}_1.wav,{who},{split}" for label in ("happy", "sad") for who, split in
            (("ann", "train"), ("ben", "valid"), ("cem", "test"))]  # fmt: skip
    write(tmp_path / "subjects.csv", "\n".join(["file,subject,split", *rows]) + "\n")
    assert leaks.main(["--corpus", f"folder:{tmp_path}"]) == 1
    assert "sad/ann_1.wav | sad/cem_1.wav" in capsys.readouterr().out
    (tmp_path / "sad" / "cem_1.wav").unlink()
    soundfile.write(tmp_path / "sad" / "cem_1.wav", speechlike(98), 16_000)
    assert leaks.main(["--corpus", f"folder:{tmp_path}"]) == 0
    assert leaks.main(["--corpus", "nowhere"]) == 2
