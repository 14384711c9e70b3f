"""Scores of the text model on its corpora, whatever runs it: torch while training, ONNX Runtime afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models.datasets import emobank, goemotions, meld, sst2
from models.train.text_cases import GROUPS
from sidecar.types import EMOTIONS

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TextOutputs:
    """What the model says of n texts: `sentiment` (n, 3), `vad` (n, 3) and `logits` (n, 28), float32."""

    sentiment: FloatArray
    vad: FloatArray
    logits: FloatArray

    def emotions(self, temperature: float) -> FloatArray:
        """(n, 8) probabilities of the base emotions."""
        scaled = self.logits / temperature
        native = np.exp(scaled - scaled.max(1, keepdims=True))
        return np.asarray(native / native.sum(1, keepdims=True) @ GROUPS, np.float32)


Predict = Callable[[Sequence[str]], TextOutputs]

_SPOKEN = [EMOTIONS.index(meld.TO_BASE[label]) for label in meld.LABELS]


def score(predict: Predict, split: str, temperature: float) -> dict[str, float]:
    """All figures of `split` (dev or test). SST-2 has no public test labels, its dev set stands for both."""
    return {
        **score_sst2(predict),
        **_score_emobank(predict, split),
        **_score_goemotions(predict, split, temperature),
        **_score_meld(predict, split, temperature),
    }


def score_sst2(predict: Predict, count: int | None = None) -> dict[str, float]:
    """Accuracy on the first `count` dev sentences (all when None), between positive and negative: none is neutral."""
    corpus = sst2.load("dev")
    sentiment = predict(corpus.texts[:count]).sentiment
    columns = [meld.SENTIMENTS.index(label) for label in sst2.LABELS]
    return {"sst2_accuracy": float((sentiment[:, columns].argmax(1) == corpus.labels[:count]).mean())}


def _score_emobank(predict: Predict, split: str) -> dict[str, float]:
    """Pearson's r of each axis."""
    corpus = emobank.load(split)
    vad = predict(corpus.texts).vad
    axes = ("valence", "arousal", "dominance")
    return {f"emobank_{axis}_r": float(np.corrcoef(vad[:, i], corpus.vad[:, i])[0, 1]) for i, axis in enumerate(axes)}


def _score_goemotions(predict: Predict, split: str, temperature: float) -> dict[str, float]:
    """Base emotions (Ekman and neutral).

    As the paper scores them, several at once, a base emotion being said above one threshold that is chosen on
    dev; and as the product uses them, one a text: accuracy and calibration over texts of one base emotion.
    """
    threshold = _best_threshold(*_multilabel(predict, "dev", temperature))
    probabilities, truth = _multilabel(predict, split, temperature)
    single = truth.sum(1) == 1
    chosen, target = probabilities[single], truth[single].argmax(1)
    return {
        "goemotions_macro_f1": _macro_f1(probabilities > threshold, truth),
        "goemotions_threshold": threshold,
        "goemotions_accuracy": float((chosen.argmax(1) == target).mean()),
        "goemotions_ece": calibration_error(chosen, target),
    }


def _multilabel(predict: Predict, split: str, temperature: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    corpus = goemotions.load(split)
    return predict(corpus.texts).emotions(temperature), corpus.labels @ GROUPS.astype(bool)


def _macro_f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(f1_score(truth[:, _SPOKEN], said[:, _SPOKEN], average="macro", zero_division=0))


def _best_threshold(probabilities: FloatArray, truth: NDArray[np.bool_]) -> float:
    return float(max(np.arange(0.2, 0.5, 0.02), key=lambda level: _macro_f1(probabilities > level, truth)))


def _score_meld(predict: Predict, split: str, temperature: float) -> dict[str, float]:
    """Weighted F1 of the seven emotions and of the three sentiments, from the words of one utterance alone."""
    corpus = meld.load(split)
    outputs = predict(corpus.texts)
    emotions = outputs.emotions(temperature)[:, _SPOKEN].argmax(1)
    sentiment = outputs.sentiment.argmax(1)
    return {
        "meld_weighted_f1": float(f1_score(corpus.labels, emotions, average="weighted")),
        "meld_sentiment_weighted_f1": float(f1_score(corpus.sentiments, sentiment, average="weighted")),
    }


def calibration_error(probabilities: FloatArray, target: NDArray[np.int64], bins: int = 15) -> float:
    """Expected calibration error over equal-width confidence bins (Guo et al., ICML 2017, arXiv:1706.04599)."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == target
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(hit[places == b].mean() - confidence[places == b].mean()) * (places == b).mean() for b in set(places)]
    return float(sum(gaps))
