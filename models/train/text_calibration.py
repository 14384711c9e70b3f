"""How the emotion logits become probabilities: temperature and prior."""

import numpy as np
from scipy.optimize import minimize_scalar

from models.datasets import goemotions
from models.evaluate.text_scores import Predict
from models.train.text_cases import GROUPS, TextCases


def fit_temperature(predict: Predict) -> float:
    """The divisor of the logits that makes GoEmotions dev likeliest, over its texts of one base emotion.

    Guo et al., ICML 2017, arXiv:1706.04599. Scored after summing into base emotions, since those are the
    probabilities that the product publishes.
    """
    corpus = goemotions.load("dev")
    truth = corpus.labels @ GROUPS.astype(bool)
    single = truth.sum(1) == 1
    outputs = predict(corpus.texts)

    def loss(log_temperature: float) -> float:
        probabilities = outputs.emotions(float(np.exp(log_temperature)))
        return float(-np.log(probabilities[single][truth[single]] + 1e-9).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 1.5), method="bounded").x))


def label_prior(cases: TextCases) -> tuple[float, ...]:
    """Shares of the 28 labels in training: each base emotion's over all corpora, split as GoEmotions splits it."""
    native, base = cases.native.sum(0), cases.base.sum(0)
    group = np.maximum(GROUPS @ (native @ GROUPS), 1e-9)  # a base emotion without any text has no share to split
    shares = native / group * (GROUPS @ base) / base.sum()
    return tuple(round(float(share), 5) for share in shares)
