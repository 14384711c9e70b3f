"""How one person's voice differs from what is typical, so that a voice always sharp is not taken for an angry one."""

from typing import Annotated, Protocol

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sidecar.fusion.simplex import log_of
from sidecar.types import FloatArray, Options


class SpeakerOptions(Options, frozen=True):
    """How fast and how far one person's own way of speaking is believed."""

    prior_windows: Annotated[float, Meta(gt=0)] = 24.0
    """Windows that weigh as much as the population. They overlap by two thirds, so 24 say as much as 8 clips."""
    memory_windows: Annotated[float, Meta(ge=1)] = 900.0
    """Windows beyond which older ones fade: a quarter of an hour of speech."""
    variety: Annotated[float, Meta(gt=0)] = 0.6
    """Variety, in nats, at which a person's own way counts in full."""


class TypicalHead(Protocol):
    """What the baseline asks of a calibrated head."""

    @property
    def typical(self) -> NDArray[np.float64] | None:
        """(labels, labels): the mean logits of speech of each label over many people; None where it is not known."""
        ...

    def native(self, logits: FloatArray) -> FloatArray:
        """(labels,) calibrated probabilities of the model's own labels."""
        ...

    def base(self, native: FloatArray) -> FloatArray:
        """(8,) of them summed by base emotion."""
        ...

    def familiar(self, logits: FloatArray) -> bool:
        """False for noise, music and whatever else is unlike speech."""
        ...


class SpeakerBaseline:
    """The mean difference between one person's logits and the typical ones, shrunk to nothing, taken off every window.

    With p_i the calibrated probabilities of window i over the labels and t (labels, labels) the typical logits of each,
    r = the mean over the n windows so far of (logits_i - p_i t), and k = `prior_windows`:

        adjusted = logits - min(1, v / `variety`) x n / (n + k) x r

    the posterior mean of an offset common to a person's utterances, as in the adaptation of speech recognisers (Gauvain
    and Lee, IEEE Transactions on Speech and Audio Processing 2, 1994). Since what a window seems to show is taken off
    first, somebody who shows one emotion all along is not erased, as normalising by the mean of all would. v is how
    much has been shown: the entropy of the mean of p over base emotions minus the mean of their entropies. Where that
    is little, nobody can say whether the person is so or feels so, and the population decides.
    """

    def __init__(self, head: TypicalHead, options: SpeakerOptions) -> None:
        self._head = head
        self._options = options
        self._windows = 0.0
        self._residual: NDArray[np.float64] = np.zeros(1)  # (labels,) after the first window
        self._shown: NDArray[np.float64] = np.zeros(1)  # (8,)
        self._entropy = 0.0

    def adjust(self, logits: FloatArray) -> FloatArray:
        """(labels,) as a person of typical voice would give; learns from it.

        What is unfamiliar or not finite passes as it is.
        """
        if self._head.typical is None or not np.isfinite(logits).all() or not self._head.familiar(logits):
            return logits
        native = self._head.native(logits)
        shown = self._head.base(native).astype(np.float64)
        self._windows = min(self._windows, self._options.memory_windows - 1) + 1
        rate = 1 / self._windows
        self._residual = self._residual + rate * (logits - native @ self._head.typical - self._residual)
        self._shown = self._shown + rate * (shown - self._shown)
        self._entropy += rate * (_entropy(shown) - self._entropy)
        own = self._windows / (self._windows + self._options.prior_windows)
        variety = min(1.0, max(0.0, _entropy(self._shown) - self._entropy) / self._options.variety)
        adjusted: FloatArray = (logits - variety * own * self._residual).astype(np.float32)
        return adjusted


def _entropy(shares: NDArray[np.float64]) -> float:
    """In nats, of shares that sum to 1."""
    return -float((shares * log_of(shares.astype(np.float32))).sum())
