"""The training loop of the text model: one loss over four corpora, checkpoints, resumption."""

import math
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.train.text_cache import HiddenStates
from models.train.text_cases import GROUPS, TextCases
from models.train.text_model import TextModel

PEAK_RATE: Final = {"layers": 2e-4, "heads": 2e-3}
WARM_UP: Final = 0.06
CHECKPOINT_STEPS: Final = 200
AXIS_DEVIATION: Final = (0.174, 0.130, 0.105)
"""Standard deviation of EmoBank's valence, arousal and dominance, scaled to -1..1: makes the three errors alike."""


def train(model: TextModel, hidden: HiddenStates, cases: TextCases, epochs: float, checkpoint: Path) -> None:
    """Train the upper layers and the heads in place, saving to `checkpoint` and resuming from it."""
    random = np.random.default_rng(0)
    batches = [batch for _ in range(math.ceil(epochs)) for batch in hidden.shuffled_batches(random)]
    batches = batches[: round(len(batches) * epochs / math.ceil(epochs))]
    optimizer = _optimizer(model)
    done = _resume(model, optimizer, checkpoint)
    torch.manual_seed(done)
    model.train()
    began, recent = time.monotonic(), 0.0
    for step, chosen in enumerate(batches[done:], done):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _rate(step / len(batches))
        loss = _loss(model, hidden, cases, chosen)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.trainable(), 1.0)
        optimizer.step()
        recent += loss.item()
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == len(batches):
            _save(model, optimizer, step + 1, checkpoint)
            left_min = (time.monotonic() - began) / (step + 1 - done) * (len(batches) - step - 1) / 60
            mean = recent / CHECKPOINT_STEPS
            print(f"step {step + 1} of {len(batches)}, loss {mean:.3f}, {left_min:.0f} min left", flush=True)
            recent = 0.0


def _loss(model: TextModel, hidden: HiddenStates, cases: TextCases, chosen: NDArray[np.int64]) -> Tensor:
    """Loss of one batch: each term runs over the texts that have its target, and so counts by their share."""
    native, base, sentiment, vad = (
        torch.from_numpy(part[chosen]) for part in (cases.native, cases.base, cases.sentiment, cases.vad)
    )
    said_sentiment, said_vad, logits, _ = model.upper(*hidden.batch(chosen))
    probabilities = (logits.softmax(-1) @ torch.from_numpy(GROUPS)).clamp_min(1e-7)
    emotion = -0.5 * (native * logits.log_softmax(-1)).sum() - (base * probabilities.log()).sum()
    polarity = -(sentiment * said_sentiment.log_softmax(-1)).sum()
    rated = ~vad[:, 0].isnan()
    affect = ((said_vad - vad)[rated] / torch.tensor(AXIS_DEVIATION)).square().mean(-1).sum()
    return (emotion + polarity + affect) / len(chosen)


def _rate(progress: float) -> float:
    """Share of the peak learning rate: a linear rise, then a linear fall to nothing."""
    return min(progress / WARM_UP, (1.0 - progress) / (1.0 - WARM_UP))


def _optimizer(model: TextModel) -> torch.optim.Optimizer:
    groups = [
        {"params": model.upper_layers(), "peak": PEAK_RATE["layers"]},
        {"params": model.heads(), "peak": PEAK_RATE["heads"]},
    ]
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=0.01)


def _resume(model: TextModel, optimizer: torch.optim.Optimizer, checkpoint: Path) -> int:
    """Load `checkpoint` where there is one; how many steps it holds."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    print(f"going on from step {state['done']}")
    return int(state["done"])


def _save(model: TextModel, optimizer: torch.optim.Optimizer, done: int, checkpoint: Path) -> None:
    partial = checkpoint.with_suffix(".partial")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}, partial)
    partial.rename(checkpoint)
