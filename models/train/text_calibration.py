"""How the heads' logits become probabilities: temperatures, prior, and what counts as familiar."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import nn

from models.datasets import goemotions, meld
from models.evaluate.metrics import probabilities
from models.evaluate.text_scores import Predict
from models.train.text_cases import GROUPS, TextCases
from sidecar.types import EMOTIONS

FAMILIAR_SHARE: Final = 0.995
"""Share of the dev texts that must count as familiar."""


def fit_emotion_temperature(predict: Predict) -> float:
    """The divisor of the logits that makes GoEmotions dev and MELD dev likeliest, each corpus counting alike.

    Guo et al., ICML 2017, arXiv:1706.04599. Over texts of one base emotion, and scored after summing into base
    emotions, since those are the probabilities that the product publishes.
    """
    comments, spoken = goemotions.load("dev"), meld.load("dev")
    felt = comments.labels @ GROUPS.astype(bool)
    single = felt.sum(1) == 1
    columns = np.array([EMOTIONS.index(meld.TO_BASE[label]) for label in meld.LABELS])
    parts = (
        (predict([comments.texts[i] for i in np.flatnonzero(single)]), felt[single].argmax(1)),
        (predict(spoken.texts), columns[spoken.labels]),
    )

    def loss(temperature: float) -> float:
        return sum(_negative_likelihood(outputs.emotions(temperature), truth) for outputs, truth in parts)

    return _least(loss)


def fit_sentiment_temperature(predict: Predict) -> float:
    """The divisor of the sentiment logits that makes MELD dev likeliest: the product reads spoken words too."""
    corpus = meld.load("dev")
    logits = predict(corpus.texts).sentiment
    return _least(lambda temperature: _negative_likelihood(probabilities(logits, temperature), corpus.sentiments))


def cool_sentiment(head: nn.Linear, temperature: float) -> None:
    """Divide the logits of the sentiment head by `temperature`, for good: the product applies softmax as it is."""
    with torch.no_grad():
        head.weight.div_(temperature)
        head.bias.div_(temperature)


def label_prior(cases: TextCases, repeat: NDArray[np.float64]) -> tuple[float, ...]:
    """Shares of the 28 labels under which the head was trained, each text counting `repeat` (n) times.

    Each base emotion's share is that over all corpora, split into labels as GoEmotions splits it.
    """
    native, base = repeat @ cases.native, repeat @ cases.base
    group = np.maximum(GROUPS @ (native @ GROUPS), 1e-9)  # a base emotion without any text has no share to split
    shares = native / group * (GROUPS @ base) / base.sum()
    return tuple(round(float(share), 5) for share in shares)


def _negative_likelihood(shares: NDArray[np.floating[Any]], truth: NDArray[np.int64]) -> float:
    return float(-np.log(shares[np.arange(len(truth)), truth] + 1e-9).mean())


def _least(loss: Callable[[float], float]) -> float:
    """Where `loss` is least, between a quarter and four."""
    found = minimize_scalar(lambda power: loss(float(np.exp(power))), bounds=(-1.4, 1.4), method="bounded")
    return float(np.exp(found.x))
