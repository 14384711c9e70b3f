"""Scores of the text model on its corpora, whatever runs it: torch while training, ONNX Runtime afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root, emobank, goemotions, meld, sst2
from models.evaluate import answers as parts
from models.evaluate import metrics
from models.evaluate.answers import Answers
from models.evaluate.metrics import Figure, Rows
from models.train.text_cases import GROUPS
from sidecar.types import EMOTIONS

FloatArray = NDArray[np.float32]
AXES: Final = ("valence", "arousal", "dominance")
WOMEN: Final = frozenset({"Rachel", "Monica", "Phoebe"})
MEN: Final = frozenset({"Ross", "Joey", "Chandler"})
"""The six main characters; of the others MELD says nothing."""


@dataclass(frozen=True, slots=True)
class TextOutputs:
    """What the model says of n texts: `sentiment` (n, 3), `vad` (n, 3) and `logits` (n, 28), float32."""

    sentiment: FloatArray
    vad: FloatArray
    logits: FloatArray

    def emotions(self, temperature: float) -> FloatArray:
        """(n, 8) probabilities of the base emotions."""
        return np.asarray(metrics.probabilities(self.logits, temperature) @ GROUPS, np.float32)


Predict = Callable[[Sequence[str]], TextOutputs]

_SPOKEN = [EMOTIONS.index(meld.TO_BASE[label]) for label in meld.LABELS]


@dataclass(frozen=True, slots=True)
class TextScores:
    """All that one split of the corpora tells."""

    heads: tuple[Answers, ...]
    figures: dict[str, float]
    bounded: dict[str, tuple[Figure, Sequence[object]]]
    """The figures that are not of a single label, and whose rows they are."""


def score(predict: Predict, split: str, temperature: float) -> dict[str, float]:
    """All figures of `split` (dev or test). SST-2 has no public test labels, its dev set stands for both."""
    return scores(predict, split, temperature).figures


def scores(predict: Predict, split: str, temperature: float) -> TextScores:
    """The figures of `split` with what lies behind them."""
    single, several = _goemotions(predict, split, temperature)
    emotions, sentiments = _meld(predict, split, temperature)
    heads = (single, sst2_answers(predict), emotions, sentiments)
    affect = _emobank(predict, split)
    plain = {name: value for head in heads for name, value in parts.figures(head).items()}
    weighted = {head.prefixed("weighted_f1"): metrics.weighted_f1(head.truth, head.said) for head in heads[2:]}
    return TextScores(
        heads,
        plain | weighted | several.figures | {name: figure(np.array(rows)) for name, (figure, rows) in affect.items()},
        several.bounded | affect,
    )


def score_sst2(predict: Predict, count: int | None = None) -> dict[str, float]:
    """Accuracy on the first `count` dev sentences (all when None), between positive and negative: none is neutral."""
    head = sst2_answers(predict, count)
    return {"sst2_accuracy": metrics.accuracy(head.truth, head.said)}


def sst2_answers(predict: Predict, count: int | None = None) -> Answers:
    """Whole dev sentences; the neutral sentiment is left out."""
    corpus = sst2.load("dev")
    return sst2_head(predict, corpus.texts[:count], corpus.labels[:count])


def sst2_head(predict: Predict, texts: Sequence[str], labels: NDArray[np.int64]) -> Answers:
    """Negative or positive, of any texts so labelled."""
    columns = [meld.SENTIMENTS.index(label) for label in sst2.LABELS]
    shares = metrics.probabilities(predict(texts).sentiment[:, columns], 1.0)
    return Answers("sst2", sst2.LABELS, shares, labels, range(len(texts)))


def single_emotions(corpus: goemotions.GoEmotions) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(n,) whether a text has one base emotion alone, and which: into the eight, of those texts."""
    truth = corpus.labels @ GROUPS.astype(bool)
    single = truth.sum(1) == 1
    return single, truth[single].argmax(1)


def goemotions_head(probabilities: FloatArray, truth: NDArray[np.int64]) -> Answers:
    """One emotion a text, as the product uses them."""
    return Answers("goemotions", EMOTIONS, probabilities.astype(np.float64), truth, range(len(truth)))


def _goemotions(predict: Predict, split: str, temperature: float) -> tuple[Answers, TextScores]:
    """Base emotions (Ekman and neutral).

    As the paper scores them, several at once, a base emotion being said above one threshold that is chosen on
    dev; and as the product uses them, one a text: accuracy and calibration over texts of one base emotion.
    """
    threshold = _best_threshold(*_multilabel(predict, "dev", temperature))
    probabilities, truth = _multilabel(predict, split, temperature)
    single, target = single_emotions(goemotions.load(split))
    said = probabilities > threshold

    def macro_f1(rows: Rows) -> float:
        return _macro_f1(said[rows], truth[rows])

    everything = range(len(truth))
    figures = {"goemotions_threshold": threshold, "goemotions_macro_f1": macro_f1(np.arange(len(truth)))}
    several = TextScores((), figures, {"goemotions_macro_f1": (macro_f1, everything)})
    return goemotions_head(probabilities[single], target), several


def _multilabel(predict: Predict, split: str, temperature: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    corpus = goemotions.load(split)
    return predict(corpus.texts).emotions(temperature), corpus.labels @ GROUPS.astype(bool)


def _macro_f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Mean over the seven emotions of each one's own F1, 0 where it is neither said nor true."""
    said, truth = said[:, _SPOKEN], truth[:, _SPOKEN]
    return float((2 * (said & truth).sum(0) / np.maximum(said.sum(0) + truth.sum(0), 1)).mean())


def _best_threshold(probabilities: FloatArray, truth: NDArray[np.bool_]) -> float:
    return float(max(np.arange(0.2, 0.5, 0.02), key=lambda level: _macro_f1(probabilities > level, truth)))


def _meld(predict: Predict, split: str, temperature: float) -> tuple[Answers, Answers]:
    """The seven emotions and the three sentiments, from the words of one utterance alone."""
    corpus = meld.load(split)
    outputs = predict(corpus.texts)
    shares = outputs.emotions(temperature)[:, _SPOKEN].astype(np.float64)
    shares /= shares.sum(1, keepdims=True)
    sentiment = metrics.probabilities(outputs.sentiment, 1.0)
    people = _meld_speakers(split)
    traits = {"gender": ["female" if who in WOMEN else "male" if who in MEN else "not told" for who in people]}
    return (
        Answers("meld", meld.LABELS, shares, corpus.labels, people, traits),
        Answers("meld_sentiment", meld.SENTIMENTS, sentiment, corpus.sentiments, people, traits),
    )


def _meld_speakers(split: str) -> list[str]:
    samples = meld.CORPUS.read(data_root() / str(meld.CORPUS.folder))
    wanted = "valid" if split == "dev" else split
    return [str(sample.subject) for sample in samples if sample.split == wanted]


def _emobank(predict: Predict, split: str) -> dict[str, tuple[Figure, Sequence[int]]]:
    """Pearson's r and concordance of each axis, as figures over rows."""
    corpus = emobank.load(split)
    vad = predict(corpus.texts).vad

    def over(axis: int, figure: Callable[[FloatArray, FloatArray], float]) -> Figure:
        return lambda rows: figure(corpus.vad[rows, axis], vad[rows, axis])

    rows = range(len(corpus.texts))
    kinds = {"r": metrics.pearson, "ccc": metrics.ccc}
    return {
        f"emobank_{axis}_{name}": (over(i, figure), rows)
        for i, axis in enumerate(AXES)
        for name, figure in kinds.items()
    }
