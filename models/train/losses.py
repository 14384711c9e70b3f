"""Losses over distributions and over axes; every one takes soft targets and returns a mean over the batch."""

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor

from models.datasets.corpus import CorpusError
from sidecar.types import Options


class LossOptions(Options, frozen=True):
    """The `[loss]` table of a recipe."""

    smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Share of each target that goes to all labels alike."""
    focal: Annotated[float, Meta(ge=0)] = 0.0
    """Exponent that fades what is said well already (Lin et al., ICCV 2017); 0 is plain cross-entropy."""
    class_weights: Literal["none", "balanced", "root"] = "none"
    """`balanced` counts each class alike, `root` goes half of the way (the square root of the ratio)."""
    oversample: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """How much oftener the rare are drawn: the exponent of 1 / frequency; 1 draws each class alike."""


def class_weights(targets: Tensor, kind: str) -> Tensor | None:
    """(classes,) weights of mean 1 over the examples of `targets` (n, classes).

    Raises `CorpusError` for a class without any samples, which could not be weighted.
    """
    if kind == "none":
        return None
    weights = frequency(targets) ** (-0.5 if kind == "root" else -1.0)
    return weights / (weights * targets.mean(0)).sum()


def draw_weights(targets: Tensor, exponent: float) -> Tensor:
    """(n,) how often to draw each example of `targets` (n, classes), of mean 1."""
    weights = targets @ frequency(targets) ** -exponent
    return weights / weights.mean()


def frequency(targets: Tensor) -> Tensor:
    """(classes,) share of each class. Raises `CorpusError` where one has none."""
    shares = targets.mean(0)
    if (absent := (shares == 0).nonzero().flatten().tolist()) != []:
        raise CorpusError(f"classes {absent} have no samples: add some, or map the labels so that none is empty")
    return shares / shares.sum()


def distribution_loss(logits: Tensor, targets: Tensor, options: LossOptions, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of `logits` (n, classes) against the distributions `targets` (n, classes)."""
    said = logits.float().log_softmax(-1)
    wanted = (1 - options.smoothing) * targets + options.smoothing / targets.shape[-1]
    if weights is not None:
        wanted = wanted * weights
    if options.focal:
        wanted = wanted * (1 - said.exp()) ** options.focal
    return -(wanted * said).sum(-1).mean()


def ccc_loss(said: Tensor, truth: Tensor) -> Tensor:
    """1 minus the concordance correlation of each axis (Lin, Biometrics 45, 1989), averaged.

    `said`, `truth` (n, axes); rows of `truth` with a NaN are left out; 0 where fewer than two rows are left.
    """
    kept = ~truth.isnan().any(-1)
    if kept.sum() < 2:
        return said.sum() * 0.0
    x, y = said[kept].float(), truth[kept]
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    spread = x.var(0, unbiased=False) + y.var(0, unbiased=False) + (x.mean(0) - y.mean(0)).square()
    concordance = 2 * covariance / spread.clamp_min(1e-8)
    loss: Tensor = 1 - concordance.mean()
    return loss


def mixed(inputs: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Each example blended with another one, inputs and targets alike (mixup, Zhang et al., ICLR 2018)."""
    share = torch.distributions.Beta(strength, strength).sample((len(inputs),))
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(len(inputs))
    shape = (-1, *[1] * (inputs.dim() - 1))
    blended = share.view(shape) * inputs + (1 - share).view(shape) * inputs[other]
    return blended, share[:, None] * targets + (1 - share)[:, None] * targets[other]
