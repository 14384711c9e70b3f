"""The corpora on hand through the one protocol, on the real files."""

from collections import Counter

import pytest

from models.datasets import data_root
from models.datasets.catalogue import CORPORA, load
from models.datasets.splits import partition, split_by_subject

VOICE = {"ravdess": (1200, 20), "emodb": (535, 10), "nemo": (4481, 9), "emospeech": (2020, 105), "ased": (2470, 65)}


@pytest.mark.parametrize("name", VOICE)
def test_voice_corpora_say_who_speaks_and_how(name: str) -> None:
    folder = CORPORA[name].folder
    if folder is None or not (data_root() / folder).is_dir():
        pytest.skip(f"{name} is absent: set SIDECAR_DATA")
    corpus, samples = load(name, "voice")
    assert (len(samples), len({sample.subject for sample in samples})) == VOICE[name]
    assert {sample.label for sample in samples} == set(corpus.labels)
    assert 0.5 < len(samples[7].audio()) / 16_000 < 10
    parts = partition(samples)
    people = [{sample.subject for sample in part} for part in parts.values()]
    assert sum(len(part) for part in parts.values()) == len(samples)
    assert sum(map(len, people)) == VOICE[name][1], "nobody stands on two sides"
    assert all(people)


@pytest.mark.parametrize(("name", "sizes"), [("emobank", (8062, 1000, 1000)), ("meld", (9989, 1109, 2610))])
def test_text_corpora_keep_their_splits(name: str, sizes: tuple[int, ...]) -> None:
    if not (data_root() / "text").is_dir():
        pytest.skip("the text corpora are absent: set SIDECAR_DATA")
    corpus, samples = load(name, "text")
    assert tuple(map(len, partition(samples).values())) == sizes
    assert all(sample.text for sample in samples)
    mapped = {corpus.target(sample) is not None for sample in samples[::20]}
    assert mapped == {name != "emobank"}


def test_shares_are_met_and_the_order_of_the_samples_does_not_matter() -> None:
    if not (data_root() / "voice" / "ased").is_dir():
        pytest.skip("ASED is absent: set SIDECAR_DATA")
    _, samples = load("ased")
    parts = split_by_subject(samples)
    again = split_by_subject(samples[::-1])
    assert {name: set(map(id, part)) for name, part in parts.items()} == {
        name: set(map(id, part)) for name, part in again.items()
    }
    shares = Counter({name: len(part) / len(samples) for name, part in parts.items()})
    assert shares["train"] == pytest.approx(0.7, abs=0.02)
    assert shares["test"] == pytest.approx(0.15, abs=0.02)
    assert split_by_subject(samples, seed=1) != parts
