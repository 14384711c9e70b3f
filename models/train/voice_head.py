"""Fits the head on pooled statistics: a logistic regression, strongly shrunk, and two small networks beside it.

The shrunk regression is what transfers to corpora that nothing was trained on; the networks know more of those that
they were (see `models/results/log.md`).
"""

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from models.train.voice_model import HIDDEN, MEMBERS, VoiceHead
from sidecar.types import Options

_BATCH: Final = 256
_WEIGHT_DECAY: Final = 0.05


class HeadOptions(Options, frozen=True):
    """The `[options]` table of a recipe whose encoder is frozen."""

    shrinkage: Annotated[float, Meta(gt=0)] = 0.15
    """Weight of half the squared coefficients in the loss."""
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Share of the target that goes to all labels alike."""
    other_voices: Annotated[int, Meta(ge=0)] = 0
    """How often each training clip is also learned at another pitch and pace."""
    speaker_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """How much of the difference between a training speaker's mean and their corpus' is taken off."""
    steps: Annotated[int, Meta(ge=1)] = 60
    """Of the regression."""
    epochs: Annotated[int, Meta(ge=0)] = 8
    """Of the networks; 0 leaves them out."""
    peak_rate: Annotated[float, Meta(gt=0)] = 1e-3
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.6
    """Of the networks' inputs and hidden units."""
    network_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.2


@dataclass(frozen=True, slots=True)
class Examples:
    """What to learn from or to choose by, row by row."""

    features: NDArray[np.float32]  # (n, features)
    targets: NDArray[np.float32]  # (n, labels), ones for the labels that are right
    weights: NDArray[np.float32]  # (n,), of mean 1
    speakers: NDArray[np.str_]  # (n,) unique over the corpora
    corpora: NDArray[np.str_]  # (n,)

    def prior(self) -> NDArray[np.float64]:
        """(labels,) shares as weighted, summing to 1; an example of two labels counts half for each."""
        mass = self.weights.astype(np.float64) @ shares_of(self.targets)
        shares: NDArray[np.float64] = mass / mass.sum()
        return shares

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.speakers, other.speakers]),
            np.concatenate([self.corpora, other.corpora]),
        )


def shares_of(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, labels) rows that sum to 1, out of the ones for the labels that are right."""
    shares: NDArray[np.float64] = targets.astype(np.float64) / targets.sum(1, keepdims=True)
    return shares


def fit(examples: Examples, options: HeadOptions) -> VoiceHead:
    """A new head; the same at every call."""
    features = torch.from_numpy(nearer_to_corpus(examples, options.speaker_share))
    targets, weights = torch.from_numpy(examples.targets), torch.from_numpy(examples.weights)
    head = VoiceHead(targets.shape[1], features.shape[1])
    head.mean.copy_(features.mean(0))
    head.deviation.copy_(features.std(0).clamp_min(1e-4))
    standard = head.standard(features)
    _fit_linear(head.linear, standard, targets, weights, options)
    nn.init.zeros_(head.narrow.weight)
    nn.init.zeros_(head.classify.weight)
    nn.init.zeros_(head.classify.bias)
    if options.epochs:
        members = [_network(standard, targets, weights, options, seed) for seed in range(MEMBERS)]
        with torch.no_grad():
            head.narrow.weight.copy_(torch.cat([narrow.weight for narrow, _ in members]))
            head.narrow.bias.copy_(torch.cat([narrow.bias for narrow, _ in members]))
            head.classify.weight.copy_(torch.cat([classify.weight for _, classify in members], 1) / MEMBERS)
            head.classify.bias.copy_(torch.stack([classify.bias for _, classify in members]).mean(0))
    return head.eval()


def _network(
    standard: Tensor, targets: Tensor, weights: Tensor, options: HeadOptions, seed: int
) -> tuple[nn.Linear, nn.Linear]:
    """The two layers of one network, by AdamW under a rate that falls along a cosine to nothing."""
    torch.manual_seed(seed)
    narrow, classify = nn.Linear(standard.shape[1], HIDDEN), nn.Linear(HIDDEN, targets.shape[1])
    drop = nn.Dropout(options.dropout)
    optimizer = torch.optim.AdamW(
        (*narrow.parameters(), *classify.parameters()), options.peak_rate, weight_decay=_WEIGHT_DECAY
    )
    batch = min(_BATCH, len(standard))
    batches = len(standard) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * batches)
    for _ in range(options.epochs):
        for chosen in torch.randperm(len(standard))[: batches * batch].view(-1, batch):
            logits = classify(drop(torch.tanh(narrow(drop(standard[chosen])))))
            losses = loss_of(logits, targets[chosen], options.network_smoothing)
            optimizer.zero_grad()
            torch.autograd.backward((losses * weights[chosen]).mean())
            optimizer.step()
            schedule.step()
    return narrow, classify


def _fit_linear(layer: nn.Linear, standard: Tensor, targets: Tensor, weights: Tensor, options: HeadOptions) -> None:
    """By L-BFGS (Liu and Nocedal, Mathematical Programming 45, 1989) from zero, on all examples at once."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=options.steps, history_size=8, line_search_fn="strong_wolfe"
    )

    def cost() -> Tensor:
        optimizer.zero_grad()
        losses = loss_of(layer(standard), targets, options.smoothing)
        loss = (losses * weights).mean() + options.shrinkage / 2 * layer.weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(cost)  # type: ignore[no-untyped-call]


def nearer_to_corpus(examples: Examples, share: float) -> NDArray[np.float32]:
    """(n, features) with `share` of what sets each speaker apart from their corpus taken off.

    Training speakers show all emotions alike, so their means hold the voice and not the mood.
    """
    features = examples.features.copy()
    for corpus in np.unique(examples.corpora):
        usual = examples.features[examples.corpora == corpus].mean(0)
        for speaker in np.unique(examples.speakers[examples.corpora == corpus]):
            rows = (examples.corpora == corpus) & (examples.speakers == speaker)
            features[rows] -= share * (examples.features[rows].mean(0) - usual)
    return features


def loss_of(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """(n,) minus the log of the probability that any of the right labels has."""
    said = logits.log_softmax(-1)
    right = said.masked_fill(targets == 0, -torch.inf).logsumexp(-1)
    return -(1 - smoothing) * right - smoothing * said.mean(-1)


@torch.no_grad()
def logits_of(head: VoiceHead, examples: Examples) -> NDArray[np.float32]:
    """(n, labels) of the trained head."""
    logits: NDArray[np.float32] = head(torch.from_numpy(examples.features))[0].numpy()
    return logits


def recall(logits: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
    """Mean recall (UAR) over the kinds of targets present, each of which is met by any of its right labels."""
    said = logits.argmax(-1)
    met = targets[np.arange(len(said)), said] > 0
    kinds = np.unique(targets, axis=0)
    return float(np.mean([met[(targets == kind).all(1)].mean() for kind in kinds]))
