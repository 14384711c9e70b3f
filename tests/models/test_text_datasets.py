"""The text corpora as loaded, on the real files."""

import numpy as np
import pytest

from models.datasets import data_root, emobank, goemotions, meld, sst2
from models.train.text_cases import GROUPS, assemble
from sidecar.types import EMOTIONS

needs_data = pytest.mark.skipif(
    not (data_root() / "text").is_dir(), reason="the text corpora are absent: set SIDECAR_DATA"
)


def test_every_native_label_has_a_base_emotion():
    assert set(goemotions.TO_BASE) == set(goemotions.LABELS)
    assert set(meld.TO_BASE) == set(meld.LABELS)
    assert set(goemotions.TO_BASE.values()) == set(meld.TO_BASE.values()) == set(EMOTIONS) - {"contempt"}
    assert set(goemotions.LABELS) - set(goemotions.TO_SENTIMENT) == {
        "surprise",
        "confusion",
        "curiosity",
        "realization",
    }


def test_grouping_sums_each_native_label_into_one_base_emotion():
    assert GROUPS.shape == (28, 8)
    assert (GROUPS.sum(1) == 1).all()
    assert GROUPS[goemotions.LABELS.index("annoyance"), EMOTIONS.index("anger")] == 1
    assert GROUPS[:, EMOTIONS.index("contempt")].sum() == 0


@needs_data
def test_goemotions_labels_are_in_the_corpus_order():
    names = (data_root() / "text" / "goemotions" / "labels.txt").read_text().split()
    assert tuple(names) == goemotions.LABELS
    sizes = [len(goemotions.load(split).texts) for split in ("train", "dev", "test")]
    assert sizes == [43410, 5426, 5427]
    dev = goemotions.load("dev")
    assert [goemotions.LABELS[i] for i in np.flatnonzero(dev.labels[1])] == ["approval", "neutral"]
    assert not any(text.startswith('"') and '""' in text for text in dev.texts), "quoting is undone"


@needs_data
def test_emobank_is_scaled_to_one():
    train = emobank.load("train")
    assert len(train.texts) == 8062
    assert train.texts[0] == 'Remember what she said in my last letter? "'
    np.testing.assert_allclose(train.vad[0], [0.0, 0.0, 0.1], atol=1e-6)
    assert np.abs(train.vad).max() <= 1


@needs_data
def test_sst2_and_meld_agree_with_their_files():
    dev = sst2.load("dev")
    assert len(dev.texts) == 909
    assert (dev.texts[1], dev.labels[1]) == ("... really horrible drek .", 0)
    utterances = meld.load("dev")
    assert len(utterances.texts) == 1109
    assert meld.LABELS[utterances.labels[0]] == "sadness"
    assert meld.SENTIMENTS[utterances.sentiments[0]] == "negative"


@needs_data
def test_longest_keeps_the_labels_with_their_phrases():
    corpus = sst2.load("train")
    labels = dict(zip(corpus.texts, corpus.labels, strict=True))
    kept = sst2.longest(corpus, 100)
    assert len(kept.texts) == 100
    assert min(len(text.split()) for text in kept.texts) > 20
    assert all(labels[text] == label for text, label in zip(kept.texts, kept.labels, strict=True))


@needs_data
def test_cases_carry_only_the_targets_of_their_corpus():
    cases = assemble("dev", 50)
    go, spoken, rated = 5426, 1109, 1000
    assert len(cases.texts) == go + spoken + rated + 50
    for part in (cases.native, cases.base, cases.sentiment):
        totals = part.sum(1)
        assert (np.isclose(totals, 0) | np.isclose(totals, 1)).all()
    assert np.isclose(cases.native.sum(1), 1).sum() == go
    assert np.isclose(cases.base.sum(1), 1).sum() == go + spoken
    assert (~np.isnan(cases.vad[:, 0])).sum() == rated
    assert cases.sentiment[-50:, 1].sum() == 0, "SST-2 knows no neutral"
