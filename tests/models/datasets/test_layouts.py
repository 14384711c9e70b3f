"""The published layouts, on small copies of them: labels, subjects, splits, and what is said of half a corpus."""

from pathlib import Path

import numpy as np
import pytest

from models.datasets.catalogue import CORPORA, load
from models.datasets.corpus import CorpusError
from models.datasets.splits import partition, subject_of
from sidecar.types import EMOTIONS

from .layouts import LAYOUTS

NAMES = sorted(LAYOUTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_small_copy_is_read_with_its_labels_subjects_and_splits(name: str, tmp_path: Path) -> None:
    expected = LAYOUTS[name]
    expected.build(tmp_path)
    corpus, samples = load(f"{name}:{tmp_path}")
    by_name = {sample.name: sample for sample in samples}
    assert len(by_name) == len(samples), "names are unique"
    assert {key: corpus.base(by_name[key]) for key in expected.bases} == dict(expected.bases)
    assert len({sample.subject for sample in samples} - {None}) == expected.subjects
    assert {sample.split for sample in samples} == expected.splits
    assert {sample.label for sample in samples} <= set(corpus.labels)
    for sample in samples:
        assert sample.vad is None or np.nanmax(np.abs(sample.vad)) <= 1
        if corpus.modality == "voice":
            assert sample.audio().dtype == np.float32
        else:
            assert sample.luma().shape == (48, 48)
    parts = partition(samples, {"train": 0.5, "valid": 0.25, "test": 0.25})
    people = [{subject_of(sample) for sample in part} for part in parts.values()]
    assert not people[0] & people[1]
    assert not people[1] & people[2]
    assert not people[0] & people[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_or_half_unpacked_corpus_says_where_what_and_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"Ask for|Clone|Take") as absent:
        load(f"{name}:{tmp_path / 'nowhere'}")
    assert str(tmp_path / "nowhere") in str(absent.value)
    LAYOUTS[name].build(tmp_path)
    spoilt = tmp_path / LAYOUTS[name].spoil
    spoilt.unlink()
    with pytest.raises(CorpusError, match="half unpacked") as half:
        load(f"{name}:{tmp_path}")
    assert str(spoilt.parent) in str(half.value)


def test_ratings_are_scaled_to_one_and_groups_are_kept(tmp_path: Path) -> None:
    LAYOUTS["iemocap"].build(tmp_path / "iemocap")
    _, turns = load(f"iemocap:{tmp_path / 'iemocap'}")
    assert turns[0].vad == pytest.approx((-0.75, 0.5, 0.0))
    assert (turns[1].subject, turns[1].attributes["gender"]) == ("Ses01M", "male")
    LAYOUTS["crema-d"].build(tmp_path / "crema")
    corpus, clips = load(f"crema-d:{tmp_path / 'crema'}")
    sad = next(clip for clip in clips if clip.label == "sadness")
    assert sad.attributes["race"] == "Asian"
    heard = corpus.target(sad)
    assert heard is not None
    assert heard[[EMOTIONS.index("neutral"), EMOTIONS.index("sadness")]].tolist() == [0.5, 0.5]
    LAYOUTS["raf-db"].build(tmp_path / "raf")
    _, faces = load(f"raf-db:{tmp_path / 'raf'}")
    assert faces[0].attributes == {"gender": "female", "race": "Asian", "age": "40-69"}


def test_an_utterance_is_cut_out_of_its_video(tmp_path: Path) -> None:
    LAYOUTS["cmu-mosei"].build(tmp_path)
    corpus, samples = load(f"cmu-mosei:{tmp_path}")
    assert {sample.subject for sample in samples} == {"aaa111", "-bbb222", "ccc333"}, "a video of no fold is left out"
    assert len(samples[0].audio()) == 16_000
    shares = corpus.target(next(sample for sample in samples if sample.name == "aaa111[0]"))
    assert shares is not None
    assert shares[EMOTIONS.index("happiness")] == pytest.approx(2 / 3)


def test_a_pointer_of_git_lfs_is_not_a_clip(tmp_path: Path) -> None:
    LAYOUTS["crema-d"].build(tmp_path)
    (tmp_path / "AudioWAV" / "1001_DFA_ANG_XX.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CorpusError, match="git lfs pull"):
        load(f"crema-d:{tmp_path}")


def test_a_reference_that_leads_nowhere_says_what_there_is() -> None:
    with pytest.raises(CorpusError, match="known: affectnet"):
        load("iemocat")
    with pytest.raises(CorpusError, match="iemocap:PATH"):
        load("iemocap")
    with pytest.raises(CorpusError, match="is a text corpus"):
        load("sst2", "voice")


def test_every_table_leads_to_base_emotions() -> None:
    for corpus in CORPORA.values():
        assert set(corpus.to_base) <= set(corpus.labels), corpus.name
        assert set(corpus.to_base.values()) <= set(EMOTIONS), corpus.name
        assert corpus.licence, corpus.name
        assert corpus.citation, corpus.name
