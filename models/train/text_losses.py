"""One loss over corpora of which each knows only some of the targets."""

from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.datasets.corpus import CorpusError
from models.train.losses import LossOptions, ccc_loss, class_weights, distribution_loss
from models.train.text_cases import GROUPS, TextCases
from sidecar.types import EMOTIONS

AXIS_DEVIATION: Final = (0.174, 0.130, 0.105)
"""Standard deviation of EmoBank's valence, arousal and dominance, scaled to -1..1: makes the three errors alike."""

Affect = Literal["mse", "ccc"]

_ABLE: Final = np.flatnonzero(GROUPS.sum(0))
"""The base emotions that the labels can express."""


class Targets(NamedTuple):
    """Those of one batch, as `TextCases` has them."""

    native: Tensor  # (batch, 28)
    base: Tensor  # (batch, 8)
    sentiment: Tensor  # (batch, 3)
    vad: Tensor  # (batch, 3)


class Said(Protocol):
    """The heads' answers to one batch."""

    @property
    def sentiment(self) -> Tensor: ...
    @property
    def vad(self) -> Tensor: ...
    @property
    def logits(self) -> Tensor: ...


class TextLoss:
    """Cross-entropy of native labels (half) and base emotions, cross-entropy of sentiment, and distance of affect.

    Each term runs over the texts that have its target and counts by their share of the batch. `affect`: `mse`, the
    squared error in standard deviations, or `ccc`, 1 - concordance, which wants larger batches of rated texts.
    """

    def __init__(self, cases: TextCases, options: LossOptions, affect: Affect = "mse") -> None:
        """Raises `CorpusError`, naming it, for a base emotion of the labels without a text."""
        known = cases.base[cases.base.sum(1) > 0]
        if absent := [EMOTIONS[i] for i in _ABLE if not known[:, i].any()]:
            raise CorpusError(f"no text says {', '.join(absent)}: add a corpus of such texts to the recipe's `corpora`")
        self._options, self._affect = options, affect
        self._weights = class_weights(torch.from_numpy(known[:, _ABLE]), options.class_weights)

    def __call__(self, said: Said, targets: Targets) -> Tensor:
        """A scalar, the mean over the batch."""
        native = -0.5 * (targets.native * said.logits.log_softmax(-1)).sum() / len(targets.native)
        groups = (said.logits.softmax(-1) @ torch.from_numpy(GROUPS)).clamp_min(1e-7).log()
        emotion = self._entropy(groups[:, _ABLE], targets.base[:, _ABLE], self._options, self._weights)
        sentiment = self._entropy(said.sentiment, targets.sentiment, LossOptions(smoothing=self._options.smoothing))
        return native + emotion + sentiment + self._distance(said.vad, targets.vad)

    def _entropy(self, logits: Tensor, targets: Tensor, options: LossOptions, weights: Tensor | None = None) -> Tensor:
        known = targets.sum(1) > 0
        if not known.any():
            return logits.sum() * 0.0
        return distribution_loss(logits[known], targets[known], options, weights) * known.float().mean()

    def _distance(self, said: Tensor, truth: Tensor) -> Tensor:
        rated = ~truth[:, 0].isnan()
        if self._affect == "ccc":
            return ccc_loss(said, truth) * rated.float().mean()
        return ((said - truth)[rated] / torch.tensor(AXIS_DEVIATION)).square().mean(-1).sum() / len(truth)


def targets_of(cases: TextCases, chosen: NDArray[np.int64]) -> Targets:
    """The targets of some texts."""
    parts = (cases.native, cases.base, cases.sentiment, cases.vad)
    return Targets(*(torch.from_numpy(part[chosen]) for part in parts))
