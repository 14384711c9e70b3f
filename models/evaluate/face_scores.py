"""Figures of a classifier from its logits: what it gets right, overall and class by class, and how sure it is."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 15


def score(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> dict[str, float]:
    """Accuracy, mean recall (UAR) and mean F1 over the classes present, and expected calibration error, all 0-1.

    `logits` (n, classes), `labels` (n,). The calibration error is that of Guo et al. (ICML 2017), 15 equal bins.
    """
    predicted = logits.argmax(1)
    confusion = np.zeros((logits.shape[1],) * 2)
    np.add.at(confusion, (labels, predicted), 1)
    hits, actual, said = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    present = actual > 0
    return {
        "accuracy": float(hits.sum() / len(labels)),
        "uar": float((hits[present] / actual[present]).mean()),
        "macro_f1": float((2 * hits[present] / (actual + said)[present]).mean()),
        "ece": calibration_error(probabilities(logits, temperature), labels),
    }


def probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """(n, classes), rows sum to 1."""
    scaled = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float64) / temperature)
    shares: NDArray[np.float64] = scaled / scaled.sum(1, keepdims=True)
    return shares


def calibration_error(shares: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean distance of confidence from accuracy, weighted by how many answers fall into each bin of confidence."""
    confidence, right = shares.max(1), shares.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence - right, BINS)
    return float(np.abs(gaps).sum() / len(labels))
