"""Arithmetic on distributions over the base emotions, safe at the edges of the simplex."""

from collections.abc import Sequence
from operator import mul
from typing import Final

import numpy as np

from sidecar.types import EMOTIONS, FloatArray

FLOOR: Final = 1e-6
"""No emotion is ever quite impossible: one expert's zero must not veto all the others."""

MAX_ENTROPY: Final = float(np.log(len(EMOTIONS)))


def log_of(probabilities: FloatArray) -> FloatArray:
    """Natural logarithm, floored at `FLOOR`."""
    floored: FloatArray = np.log(np.maximum(probabilities, FLOOR)).astype(np.float32)
    return floored


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities of (n,) unnormalised logarithms."""
    shifted = np.exp((logits - logits.max()).astype(np.float64))
    probabilities: FloatArray = (shifted / shifted.sum()).astype(np.float32)
    return probabilities


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Mean of a few scalars, `weights` above 0; numpy's own costs twenty times as much on so few."""
    total: float = sum(map(mul, values, weights))
    return total / sum(weights)


def geometric_mean(rows: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """The normalised geometric mean, `weights` above 0: the logarithmic opinion pool (Genest and Zidek, 1986)."""
    portions = np.asarray(weights, dtype=np.float32)
    return softmax(portions @ log_of(np.stack(rows)) / portions.sum())


def entropy(probabilities: FloatArray) -> float:
    """Shannon entropy in nats."""
    return float(-(probabilities * log_of(probabilities)).sum())


def sharpness(probabilities: FloatArray) -> float:
    """1 for a certain emotion, 0 for the uniform distribution over all eight."""
    return float(np.clip(1 - entropy(probabilities) / MAX_ENTROPY, 0, 1))


def jensen_shannon(first: FloatArray, second: FloatArray) -> float:
    """Divergence in bits, 0 (equal) to 1 (disjoint); symmetric (Lin, 1991, equal weights)."""
    middle = ((first + second) / 2).astype(np.float32)
    nats = entropy(middle) - (entropy(first) + entropy(second)) / 2
    return float(np.clip(nats / np.log(2), 0, 1))
