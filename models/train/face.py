"""Trains the face encoder on FER+ and publishes it into the pack: `python -m models.train.face`.

About 45 minutes on one core. `--resume` goes on from the last finished epoch in `--out`. The weights in the pack saw
13 epochs of `--epochs 18`, then, resumed, the last three of `--epochs 16`: the schedule was cut short, not chosen.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from tqdm import tqdm  # type: ignore[import-untyped]

from models.datasets import ferplus
from models.train.face_augment import augment
from models.train.face_model import SIZE_PX, FaceVit
from models.train.face_publish import publish_face

Split = tuple[Tensor, Tensor]
"""Faces (n, 1, 48, 48) uint8, luma 0-255, and vote shares (n, 8) float32."""
History = list[dict[str, float]]
"""What was measured, a row an epoch."""

OUT = Path(__file__).parents[2] / ".cache" / "face"
BATCH = 64
PEAK_RATE = 1.5e-3
WEIGHT_DECAY = 0.05
WARM_UP = 0.08
SIDES_PX = ((0.45, 32), (0.7, 40), (1.0, SIZE_PX))
"""Until this share of the training, pictures of that side: small ones cost less and teach the coarse shapes."""


def side_px(progress: float) -> int:
    """Side of the pictures at `progress` 0..1 through the training."""
    return next(side for until, side in SIDES_PX if progress < until or until == 1.0)


def rate(progress: float) -> float:
    """Learning rate at `progress`: a linear rise, then half a cosine down to zero."""
    if progress < WARM_UP:
        return PEAK_RATE * progress / WARM_UP
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def read(split: str) -> Split:
    """The labelled images of `split`."""
    data = ferplus.load(split).labelled()
    return torch.from_numpy(data.images[:, None]), torch.from_numpy(data.distributions())


def train(model: FaceVit, data: Split, optimizer: Optimizer, progress: float, share: float) -> float:
    """One pass over `data`, the `share` of the whole training that follows `progress`. Returns the mean loss."""
    faces, targets = data
    order = torch.randperm(len(faces))[: len(faces) // BATCH * BATCH].view(-1, BATCH)
    side, total = side_px(progress), 0.0
    model.train()
    for step, chosen in enumerate(tqdm(order, f"{progress:.0%} done, {side} px", mininterval=10)):
        x = augment(faces[chosen])
        if side != SIZE_PX:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        for group in optimizer.param_groups:
            group["lr"] = rate(progress + step / len(order) * share)
        loss = F.cross_entropy(model(x.to(memory_format=torch.channels_last)).logits, targets[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
    return total / len(order)


@torch.no_grad()
def validate(model: FaceVit, data: Split) -> tuple[float, float]:
    """Loss against the votes and accuracy against the majority, without augmentation."""
    faces, targets = data
    model.eval()
    said = torch.cat([model(part.to(memory_format=torch.channels_last)).logits for part in torch.split(faces, 256)])
    return F.cross_entropy(said, targets).item(), (said.argmax(1) == targets.argmax(1)).float().mean().item()


def save(path: Path, model: FaceVit, optimizer: Optimizer, history: History) -> None:
    """Write the checkpoint in one step: a killed training leaves the one before."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}
    partial = path.with_suffix(".partial")
    torch.save(state | {"random": torch.get_rng_state()}, partial)
    partial.rename(path)


def restore(path: Path, model: FaceVit, optimizer: Optimizer) -> History:
    """Load a checkpoint in place; what was measured until then. Raises FileNotFoundError where there is none."""
    state = torch.load(path)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    history: History = state["history"]
    return history


def plot(history: History, path: Path) -> None:
    """Loss and accuracy over the epochs."""
    from matplotlib import pyplot

    figure, (loss, accuracy) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    epochs = range(1, len(history) + 1)
    for axis, keys in ((loss, ("train_loss", "valid_loss")), (accuracy, ("valid_accuracy",))):
        for key in keys:
            axis.plot(epochs, [row[key] for row in history], label=key.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.legend()
    figure.savefig(path)
    pyplot.close(figure)


def main() -> None:
    """Train, then export, compare precisions, calibrate and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the checkpoint and the curves")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out / "checkpoint.pt"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = FaceVit().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=WEIGHT_DECAY)
    history = restore(checkpoint, model, optimizer) if options.resume else []
    training, validation = read("train"), read("valid")
    for epoch in range(len(history), options.epochs):
        began = time.monotonic()
        train_loss = train(model, training, optimizer, epoch / options.epochs, 1 / options.epochs)
        valid_loss, valid_accuracy = validate(model, validation)
        history.append(
            {
                "train_loss": train_loss,
                "valid_loss": valid_loss,
                "valid_accuracy": valid_accuracy,
                "seconds": time.monotonic() - began,
            }
        )
        save(checkpoint, model, optimizer, history)
        plot(history, options.out / "curves.png")
        print(f"epoch {epoch + 1}/{options.epochs}", json.dumps(history[-1]), flush=True)
    publish_face(model)


if __name__ == "__main__":
    main()
