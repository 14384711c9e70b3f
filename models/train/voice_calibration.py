"""What the manifest says of a voice head's logits, fitted on validation speakers."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.datasets.corpus import CorpusError
from models.train.voice_head import loss_of, shares_of
from sidecar.inference.manifest import Calibration

FAMILIAR_SHARE: Final = 0.98
"""Share of the validation windows that are to count as like the training data, even without the margin."""
MARGIN: Final = 3.0
"""Free energy by which other languages, rooms and telephones may lie above: noise and music lie 6 and more above."""

Logits = NDArray[np.float32]


def calibrate(
    logits: Logits,
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    prior: NDArray[np.float64],
    temperature: float | None = None,
) -> Calibration:
    """`logits` (n, labels) of validation windows, `targets` and `weights` as `Examples` has them.

    `temperature` is fitted on them where it is not given. Raises `CorpusError` for a label that no window has.
    """
    if (absent := np.flatnonzero(targets.sum(0) == 0).tolist()) != []:
        raise CorpusError(f"labels {absent} have no samples in validation: add speakers that show them")
    temperature = temperature or fit_temperature(logits, targets, weights)
    return Calibration(
        temperature=temperature,
        prior=rounded(prior),
        energy_limit=round(float(np.quantile(free_energy(logits, temperature), FAMILIAR_SHARE)) + MARGIN, 4),
        typical=tuple(rounded(row, 3) for row in typical(logits, targets, weights)),
    )


def fit_temperature(logits: Logits, targets: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    """The temperature under which the right labels are likeliest (Guo et al., ICML 2017), to a hundredth."""
    said, right, counts = (torch.from_numpy(each) for each in (logits, targets, weights))
    candidates = np.arange(0.2, 3.0, 0.01)
    costs = [float((loss_of(said / float(value), right) * counts).mean()) for value in candidates]
    return round(float(candidates[int(np.argmin(costs))]), 2)


def free_energy(logits: Logits, temperature: float) -> NDArray[np.float64]:
    """(n,): -T logsumexp(z / T), high for what is unlike the training data (Liu et al., NeurIPS 2020)."""
    energy: NDArray[np.float64] = -temperature * np.logaddexp.reduce(logits.astype(np.float64) / temperature, axis=1)
    return energy


def typical(logits: Logits, targets: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """(labels, labels): the mean logits of speech of each label, over all speakers."""
    mass = shares_of(targets) * weights[:, None]
    means: NDArray[np.float64] = mass.T @ logits.astype(np.float64) / mass.sum(0)[:, None]
    return means


def rounded(values: Sequence[float] | NDArray[np.float64], digits: int = 5) -> tuple[float, ...]:
    """Short in the manifest."""
    return tuple(round(float(value), digits) for value in values)
