"""One training loop for all recipes that learn by gradient descent.

A recipe brings a `Task`: what is learned, from which batches, towards which loss, judged how. `fit` brings the rest:
warm-up and cosine, accumulated gradients, mixed precision, averaged weights, early stopping, checkpoints to go on
from, curves.
"""

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from models.train import checkpoints
from sidecar.types import Options

History = list[dict[str, float]]
"""What was measured, a row an epoch."""

CHECKPOINT: Final = "checkpoint.pt"


class TrainingDiverged(Exception):
    """The loss is not a finite number any more."""


class Schedule(Options, frozen=True):
    """How long and how fast to learn: the `[schedule]` table of a recipe."""

    epochs: Annotated[int, Meta(ge=1)]
    peak_rate: Annotated[float, Meta(gt=0)]
    batch: Annotated[int, Meta(ge=1)] = 64
    """Examples in a batch; the task makes its batches of this size."""
    weight_decay: Annotated[float, Meta(ge=0)] = 0.05
    warm_up: Annotated[float, Meta(ge=0, lt=1)] = 0.06
    """Share of the training in which the rate rises from nothing to its peak."""
    accumulate: Annotated[int, Meta(ge=1)] = 1
    """Batches whose gradients make one step."""
    clip: Annotated[float, Meta(gt=0)] = 1.0
    """Largest norm of the gradient."""
    average: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Decay of the running mean of the weights, which is what is judged and kept; 0 keeps the last weights."""
    patience: Annotated[int, Meta(ge=0)] = 0
    """Epochs without a better first figure after which the training ends, at its best epoch; 0 never."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the forward pass; fp16 scales its loss and needs a GPU."""
    seed: int = 0


class Task(Protocol):
    """What a recipe trains."""

    @property
    def model(self) -> nn.Module:
        """What learns."""
        ...

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """Parameter groups: `params`, and `scale`, which multiplies the peak rate (1 where it is left out)."""
        ...

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def batches(self, epoch: int) -> Iterable[Any]:
        """The batches of one epoch, in an order of its own."""
        ...

    def loss(self, batch: Any) -> Tensor:
        """Mean loss of the batch, a scalar."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures by name; the first is the one to raise."""
        ...


def fit(task: Task, schedule: Schedule, out: Path, *, resume: bool = False, made_from: object = None) -> History:
    """Train `task.model` in place; the checkpoint, `history.json` and `curves.png` are in `out`.

    `resume` goes on from the last finished epoch, or begins where there is none. `made_from` is the recipe and the
    corpus: together with the schedule and the weights to start from it decides which checkpoint may be resumed.
    Raises `TrainingDiverged`, `CheckpointMismatch`.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(schedule.seed)
    run = _Run(task, schedule)
    origin = checkpoints.fingerprint(schedule, task.model, made_from)
    if resume and (state := checkpoints.load(out / CHECKPOINT, origin)) is not None:
        run.restore(state)
    while len(run.history) < schedule.epochs and not run.is_stale():
        began = time.monotonic()
        train_loss = run.epoch(len(run.history))
        with run.averaged():
            figures = task.validate()
            run.note({**figures, "train_loss": train_loss, "seconds": time.monotonic() - began})
        checkpoints.save(out / CHECKPOINT, run.state(), origin)
        (out / "history.json").write_text(json.dumps({"schedule": _plain(schedule), "epochs": run.history}, indent=1))
        plot(run.history, out / "curves.png")
        print(f"epoch {len(run.history)}/{schedule.epochs}", _shown(run.history[-1]), flush=True)
    run.finish()
    return run.history


def rate(progress: float, warm_up: float) -> float:
    """Share of the peak rate at `progress` 0-1: a linear rise, then half a cosine down to nothing."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


class _Run:
    """The state of one training."""

    def __init__(self, task: Task, schedule: Schedule) -> None:
        self.task, self.schedule = task, schedule
        self.history: History = []
        groups = [{"params": list(group["params"]), "scale": group.get("scale", 1.0)} for group in task.groups()]
        self._parameters = [parameter for group in groups for parameter in group["params"]]
        self._optimizer = AdamW(groups, lr=0.0, weight_decay=schedule.weight_decay)
        self._device = next(task.model.parameters()).device.type
        self._scaler = torch.amp.GradScaler(self._device, enabled=schedule.precision == "fp16")
        self._average = (
            AveragedModel(task.model, multi_avg_fn=get_ema_multi_avg_fn(schedule.average), use_buffers=True)  # type: ignore[no-untyped-call]
            if schedule.average
            else None
        )
        self._best: dict[str, Tensor] | None = None

    def epoch(self, number: int) -> float:
        """One pass over the batches; the mean loss."""
        count, total = len(self.task), 0.0
        self.task.model.train()
        for step, batch in enumerate(tqdm(self.task.batches(number), f"epoch {number + 1}", count, mininterval=10)):
            self._set_rate((number + step / count) / self.schedule.epochs)
            loss = self._forward(batch)
            if not math.isfinite(loss.item()):
                raise TrainingDiverged(
                    f"epoch {number + 1}, batch {step + 1}: the loss is {loss.item()}; lower peak_rate "
                    f"({self.schedule.peak_rate:g}) or clip ({self.schedule.clip:g}) in the recipe, or look for "
                    "inputs that are not finite"
                )
            torch.autograd.backward(self._scaler.scale(loss / self.schedule.accumulate))
            if (step + 1) % self.schedule.accumulate == 0 or step + 1 == count:
                self._step()
            total += loss.item()
        return total / count

    def _forward(self, batch: Any) -> Tensor:
        types = {"fp16": torch.float16, "bf16": torch.bfloat16}
        if (reduced := types.get(self.schedule.precision)) is None:
            return self.task.loss(batch)
        with torch.autocast(self._device, reduced):
            return self.task.loss(batch)

    def _step(self) -> None:
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._parameters, self.schedule.clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update_parameters(self.task.model)

    def _set_rate(self, progress: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.peak_rate * group["scale"] * rate(progress, self.schedule.warm_up)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model has its averaged weights meanwhile."""
        if self._average is None:
            yield
            return
        own = {name: value.clone() for name, value in self.task.model.state_dict().items()}
        self.task.model.load_state_dict(self._average.module.state_dict())
        yield
        self.task.model.load_state_dict(own)

    def note(self, row: dict[str, float]) -> None:
        """Append to the history; remember the weights if they are the best so far."""
        self.history.append(row)
        if self.schedule.patience and _best_epoch(self.history) == len(self.history) - 1:
            self._best = {name: value.clone() for name, value in self.task.model.state_dict().items()}

    def is_stale(self) -> bool:
        """No epoch of late was better."""
        if not self.schedule.patience or not self.history:
            return False
        return len(self.history) - 1 - _best_epoch(self.history) >= self.schedule.patience

    def finish(self) -> None:
        """Leave the model with the weights to keep."""
        if self._best is not None:
            self.task.model.load_state_dict(self._best)
        elif self._average is not None:
            self.task.model.load_state_dict(self._average.module.state_dict())
        self.task.model.eval()

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {
            "model": self.task.model.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "random": torch.get_rng_state(),
            "history": self.history,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint of the same task."""
        self.task.model.load_state_dict(state["model"])
        if self._average is not None and state["average"] is not None:
            self._average.load_state_dict(state["average"])
        self._best = state["best"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        self.history = state["history"]


def plot(history: History, path: Path) -> None:
    """A panel for each figure, over the epochs."""
    from matplotlib import pyplot

    names = [name for name in history[0] if name != "seconds"]
    figure, axes = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        axis.plot(range(1, len(history) + 1), [row[name] for row in history])
        axis.set_title(name.replace("_", " "))
        axis.set_xlabel("epoch")
    figure.savefig(path)
    pyplot.close(figure)


def _best_epoch(history: History) -> int:
    first = next(iter(history[0]))
    return max(range(len(history)), key=lambda epoch: history[epoch][first])


def _shown(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())


def _plain(schedule: Schedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in schedule.__struct_fields__}
