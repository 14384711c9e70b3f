"""Fits the head on pooled statistics, and its temperature."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.train.voice_model import VoiceHead

BATCH: Final = 256
PEAK_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 0.05
SMOOTHING: Final = 0.2
"""Share of the target that goes to all labels alike."""


@dataclass(frozen=True, slots=True)
class Examples:
    """`features` (n, 3456); `targets` (n, 8), ones for the labels that are right; `weights` (n,) of mean 1."""

    features: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]

    def prior(self) -> NDArray[np.float64]:
        """(8,) shares of the labels as weighted, summing to 1; an example of two labels counts half for each."""
        mass = self.weights.astype(np.float64) @ (self.targets / self.targets.sum(1, keepdims=True))
        shares: NDArray[np.float64] = mass / mass.sum()
        return shares

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
        )


def fit(examples: Examples, epochs: int, seed: int = 0) -> VoiceHead:
    """A new head, trained with a learning rate that falls along a cosine to nothing."""
    torch.manual_seed(seed)
    features, targets, weights = (
        torch.from_numpy(part) for part in (examples.features, examples.targets, examples.weights)
    )
    head = VoiceHead(targets.shape[1])
    head.fit_scale(features)
    optimizer = torch.optim.AdamW(head.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * (len(features) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    head.train()
    for _ in range(epochs):
        order = torch.randperm(len(features))
        for start in range(0, len(order) // BATCH * BATCH, BATCH):
            chosen = order[start : start + BATCH]
            losses = loss_of(head(features[chosen])[0], targets[chosen], SMOOTHING)
            optimizer.zero_grad()
            (losses * weights[chosen]).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return head.eval()


def loss_of(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """(n,) minus the log of the probability that any of the right labels has."""
    said = logits.log_softmax(-1)
    right = said.masked_fill(targets == 0, -torch.inf).logsumexp(-1)
    return -(1 - smoothing) * right - smoothing * said.mean(-1)


@torch.no_grad()
def logits_of(head: VoiceHead, examples: Examples) -> Tensor:
    """(n, 8) of the trained head."""
    logits: Tensor = head(torch.from_numpy(examples.features))[0]
    return logits


def temperature(head: VoiceHead, examples: Examples) -> float:
    """The temperature under which the head says the right labels likeliest (Guo et al., ICML 2017)."""
    logits, targets, weights = (
        logits_of(head, examples),
        torch.from_numpy(examples.targets),
        torch.from_numpy(examples.weights),
    )
    candidates = torch.linspace(0.3, 3.0, 136)
    costs = torch.stack([(loss_of(logits / value, targets) * weights).mean() for value in candidates])
    return round(float(candidates[costs.argmin()]), 2)


def recall(head: VoiceHead, examples: Examples) -> float:
    """Mean recall (UAR) over the kinds of targets present, each of which is met by any of its right labels."""
    said = logits_of(head, examples).argmax(-1).numpy()
    met = examples.targets[np.arange(len(said)), said] > 0
    kinds = np.unique(examples.targets, axis=0)
    return float(np.mean([met[(examples.targets == kind).all(1)].mean() for kind in kinds]))
