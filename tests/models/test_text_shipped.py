"""The text model of the pack, as shipped: its floor, its common sense, its tokenizer."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from models.datasets import data_root, sst2
from models.datasets.goemotions import LABELS, TO_BASE
from models.evaluate.text import PACK, open_session, predictor
from models.evaluate.text_scores import Predict, score_sst2
from sidecar.inference.manifest import ModelSpec, read_manifest
from sidecar.types import EMOTIONS

PLAIN = ("Can you send me the file?", "Okay, the next slide shows the revenue for March.", "We moved it to room four.")
GLAD = ("I really love this, it is fantastic!", "Thank you so much, that was a great help.")
UPSET = ("This is terrible and I am so angry with you.", "I'm afraid we have lost everything.", "That's disgusting.")


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    (found,) = [spec for spec in read_manifest(PACK) if spec.name == "text-minilm"]
    return found


@pytest.fixture(scope="module")
def tokenizer(spec: ModelSpec) -> Tokenizer:
    return Tokenizer.from_file(str(PACK / spec.files[0].file))


@pytest.fixture(scope="module")
def predict(spec: ModelSpec, tokenizer: Tokenizer) -> Predict:
    return predictor(open_session(PACK / spec.file), tokenizer)


def test_entry_describes_the_files(spec: ModelSpec):
    assert spec.labels == LABELS
    assert spec.map == TO_BASE
    assert sum(spec.calibration.prior or ()) == pytest.approx(1, abs=1e-3)
    for file, digest in spec.paths():
        assert hashlib.sha256((PACK / file).read_bytes()).hexdigest() == digest
    assert Path(PACK / spec.file).stat().st_size < 25e6


@pytest.mark.skipif(not (data_root() / "text").is_dir(), reason="the text corpora are absent: set SIDECAR_DATA")
def test_reaches_the_floor_on_sst2(predict: Predict):
    assert len(sst2.load("dev").texts) == 909
    assert score_sst2(predict, 300)["sst2_accuracy"] >= 0.80


def test_plain_statements_are_neutral(predict: Predict, spec: ModelSpec):
    outputs = predict(PLAIN)
    assert (outputs.sentiment.argmax(1) == 1).all()
    emotions = outputs.emotions(spec.calibration.temperature)
    assert [EMOTIONS[i] for i in emotions.argmax(1)] == ["neutral"] * len(PLAIN)


def test_glad_and_upset_words_are_told_apart(predict: Predict, spec: ModelSpec):
    glad, upset = predict(GLAD), predict(UPSET)
    assert (glad.sentiment.argmax(1) == 2).all()
    assert (upset.sentiment.argmax(1) == 0).all()
    assert glad.vad[:, 0].min() > 0.1 > -0.1 > upset.vad[:, 0].max()
    said = [EMOTIONS[i] for i in upset.emotions(spec.calibration.temperature).argmax(1)]
    assert said == ["anger", "fear", "disgust"]
    assert EMOTIONS[glad.emotions(spec.calibration.temperature)[0].argmax()] == "happiness"


def test_padding_changes_little(predict: Predict):
    """Activations are scaled over the whole batch, so that a longer neighbour may move a logit, but not far."""
    alone = predict(GLAD[:1])
    beside = predict((GLAD[0], "word " * 60))
    np.testing.assert_allclose(beside.sentiment[0], alone.sentiment[0], atol=0.6)
    assert beside.logits[0].argmax() == alone.logits[0].argmax()


def test_tokenizer_lowers_cuts_and_pads(tokenizer: Tokenizer):
    hello = tokenizer.encode("Hello, WORLD!")
    assert hello.ids == [101, 7592, 1010, 2088, 999, 102], "ids of the uncased BERT vocabulary"
    assert tokenizer.encode("héllo").tokens == ["[CLS]", "hello", "[SEP]"]
    assert tokenizer.encode("embeddings").tokens == ["[CLS]", "em", "##bed", "##ding", "##s", "[SEP]"]
    assert len(tokenizer.encode("word " * 500).ids) == 128
    short, long = tokenizer.encode_batch(["yes", "yes of course"])
    assert short.ids == [101, 2748, 102, 0, 0]
    assert short.attention_mask == [1, 1, 1, 0, 0]
    assert len(long.ids) == 5
