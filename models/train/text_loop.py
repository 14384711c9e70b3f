"""The training loop of the text model: one loss over four corpora, in stages, with checkpoints and resumption."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray

from models.train import checkpoints
from models.train.loop import TrainingDiverged
from models.train.recipe import RecipeError
from models.train.text_cache import HiddenStates
from models.train.text_cases import CORPORA, TextCases
from models.train.text_losses import TextLoss, targets_of
from models.train.text_model import TextModel
from sidecar.types import Options

HEADS_RATE: Final = 10.0
"""The heads learn so many times as fast as the layers."""
WARM_UP: Final = 0.06
CHECKPOINT_STEPS: Final = 200

Validate = Callable[[TextModel], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on; the states are those of the cases' texts, in their order."""

    hidden: HiddenStates
    cases: TextCases
    loss: TextLoss


class Stage(Options, frozen=True):
    """One pass of training; the next goes on from its weights with a fresh optimizer."""

    name: str
    epochs: Annotated[float, Meta(gt=0)]
    rate: Annotated[float, Meta(gt=0)]
    """Peak learning rate of the layers."""
    repeat: dict[str, Annotated[float, Meta(ge=0)]]
    """How often an epoch shows each corpus: 1 all of it once, 0.5 a random half, 2 all twice."""


def train(
    model: TextModel,
    material: Material,
    stage: Stage,
    checkpoint: Path,
    validate: Validate,
    *,
    made_from: str,
    resume: bool = False,
) -> None:
    """Train the upper layers and the heads in place, saving to `checkpoint`; `resume` goes on from it.

    `made_from` is the fingerprint of what decides the result. `validate` is called at each checkpoint, for the eye
    only. Raises `TrainingDiverged`, `CheckpointMismatch`.
    """
    hidden, cases = material.hidden, material.cases
    batches = epochs_of(stage, hidden, cases)
    optimizer = _optimizer(model, stage.rate)
    done = _resume(model, optimizer, checkpoint, made_from) if resume else 0
    torch.manual_seed(done)
    began, recent = time.monotonic(), 0.0
    for step, chosen in enumerate(batches[done:], done):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _rate(step / len(batches))
        loss = material.loss(model.upper(*hidden.batch(chosen)), targets_of(cases, chosen))
        if not torch.isfinite(loss):
            raise TrainingDiverged(
                f"{stage.name}, step {step + 1}: the loss is {loss.item()}; lower the stage's `rate` ({stage.rate}) "
                f"and delete {checkpoint}"
            )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.trainable(), 1.0)
        optimizer.step()
        recent += loss.item()
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == len(batches):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": step + 1}
            checkpoints.save(checkpoint, state, made_from)
            left_min = (time.monotonic() - began) / (step + 1 - done) * (len(batches) - step - 1) / 60
            seen = "".join(f", {name} {value:.4f}" for name, value in validate(model).items())
            mean = recent / ((step % CHECKPOINT_STEPS) + 1)
            print(f"{stage.name} {step + 1}/{len(batches)}, loss {mean:.3f}{seen}, {left_min:.0f} min left", flush=True)
            recent = 0.0


def epochs_of(stage: Stage, hidden: HiddenStates, cases: TextCases) -> list[NDArray[np.int64]]:
    """The batches of a stage, the same at each call. Raises `RecipeError` for a corpus that nobody knows."""
    if unknown := set(stage.repeat) - set(CORPORA):
        raise RecipeError(f"stage {stage.name!r} repeats {sorted(unknown)}; known are {', '.join(CORPORA)}")
    random = np.random.default_rng(0)
    batches: list[NDArray[np.int64]] = []
    for _ in range(math.ceil(stage.epochs)):
        batches += hidden.shuffled_batches(random, _one_epoch(stage, cases, random))
    return batches[: round(len(batches) * stage.epochs / math.ceil(stage.epochs))]


def _one_epoch(stage: Stage, cases: TextCases, random: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of the texts of one epoch, in order of the corpora."""
    parts = []
    for number, corpus in enumerate(CORPORA):
        texts = np.flatnonzero(cases.corpus == number)
        whole, fraction = divmod(stage.repeat.get(corpus, 0.0), 1)
        parts += [texts] * int(whole)
        if fraction:
            parts.append(random.choice(texts, round(len(texts) * fraction), replace=False))
    return np.concatenate(parts)


def _rate(progress: float) -> float:
    """Share of the peak learning rate: a linear rise, then a linear fall to nothing."""
    return min(progress / WARM_UP, (1.0 - progress) / (1.0 - WARM_UP))


def _optimizer(model: TextModel, rate: float) -> torch.optim.Optimizer:
    groups = [
        {"params": model.upper_layers(), "peak": rate},
        {"params": model.heads(), "peak": rate * HEADS_RATE},
    ]
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=0.01)


def _resume(model: TextModel, optimizer: torch.optim.Optimizer, checkpoint: Path, made_from: str) -> int:
    """Load `checkpoint` where there is one; how many steps it holds."""
    state = checkpoints.load(checkpoint, made_from)
    if state is None:
        return 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    print(f"going on from step {state['done']} of {checkpoint}")
    return int(state["done"])
