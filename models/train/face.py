"""Trains the face encoder on FER+ and publishes it into the pack: `python -m models.train.face`.

About an hour on one core. `--resume` goes on from the last finished epoch in `--out`.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from models.datasets import ferplus
from models.train.face_augment import augment
from models.train.face_model import SIZE_PX, FaceVit

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


def tensors(split: str) -> tuple[Tensor, Tensor]:
    """Faces (n, 1, 48, 48) uint8 and vote shares (n, 8) of the labelled images of `split`."""
    data = ferplus.load(split).labelled()
    return torch.from_numpy(data.images[:, None]), torch.from_numpy(data.distributions())


@torch.no_grad()
def logits_of(model: FaceVit, faces: Tensor) -> Tensor:
    """(n, 8), evaluated in batches without augmentation."""
    model.eval()
    return torch.cat([model(part.to(memory_format=torch.channels_last)).logits for part in faces.split(256)])


def train(model: FaceVit, epochs: int, out: Path, resume: bool, batch: int = BATCH) -> list[dict[str, float]]:
    """Train in place; after each epoch write `checkpoint.pt` and `history.json` into `out`. Returns the history."""
    faces, targets = tensors("train")
    valid_faces, valid_targets = tensors("valid")
    steps = len(faces) // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=WEIGHT_DECAY)
    history: list[dict[str, float]] = []
    checkpoint = out / "checkpoint.pt"
    if resume and checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        history = state["history"]
    for epoch in range(len(history), epochs):
        began, total = time.monotonic(), 0.0
        order = torch.randperm(len(faces))[: steps * batch].view(steps, batch)
        side = side_px(epoch / epochs)
        model.train()
        for step, chosen in enumerate(tqdm(order, f"epoch {epoch + 1}/{epochs} at {side} px", mininterval=10)):
            x = augment(faces[chosen])
            if side != SIZE_PX:
                x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
            for group in optimizer.param_groups:
                group["lr"] = rate((epoch + step / steps) / epochs)
            loss = F.cross_entropy(model(x.to(memory_format=torch.channels_last)).logits, targets[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        said = logits_of(model, valid_faces)
        history.append({
            "train_loss": total / steps,
            "valid_loss": F.cross_entropy(said, valid_targets).item(),
            "valid_accuracy": (said.argmax(1) == valid_targets.argmax(1)).float().mean().item(),
            "side_px": side,
            "seconds": time.monotonic() - began,
        })
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}
        torch.save(state | {"random": torch.get_rng_state()}, checkpoint.with_suffix(".partial"))
        checkpoint.with_suffix(".partial").rename(checkpoint)
        (out / "history.json").write_text(json.dumps(history, indent=1))
        print(json.dumps(history[-1]), flush=True)
    return history


def main() -> None:
    """Train, then export, compare precisions, calibrate and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of checkpoints and curves")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    model = FaceVit().to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    train(model, options.epochs, options.out, options.resume)


if __name__ == "__main__":
    main()
