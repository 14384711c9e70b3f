"""Trains a face encoder: `python -m models.train.face --recipe face-vit`.

The default recipe takes about an hour on two cores; `--resume` goes on from the last finished epoch in `--out`.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from models.datasets import ferplus
from models.train.face_augment import augment
from models.train.face_model import SIZE_PX, FaceVit
from models.train.face_publish import publish_face
from models.train.loop import Schedule, fit
from models.train.losses import LossOptions, class_weights, distribution_loss, draw_weights
from models.train.recipe import read_recipe

Split = tuple[Tensor, Tensor]
"""Faces (n, 1, 48, 48) uint8, luma 0-255, and vote shares (n, 8) float32."""

OUT: Final = Path(__file__).parents[2] / ".cache" / "face"
SIDES_PX: Final = ((0.4, 32), (0.65, 40), (1.0, SIZE_PX))
"""Until this share of the training, pictures of that side: small ones cost less and teach the coarse shapes."""


class FaceTask:
    """Expressions from crops: vote shares as targets, augmentation as calls suffer it."""

    def __init__(
        self, model: FaceVit, training: Split, validation: Split, schedule: Schedule, loss: LossOptions
    ) -> None:
        self.model = model.to(memory_format=torch.channels_last)
        self._training, self._validation = training, validation
        self._schedule, self._loss = schedule, loss
        self._weights = class_weights(training[1], loss.class_weights)
        self._draws = draw_weights(training[1], loss.oversample)

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """One group; no decay of what is a mere offset or scale."""
        return [{"params": self.model.parameters()}]

    def __len__(self) -> int:
        return len(self._draws) // self._schedule.batch

    def batches(self, epoch: int) -> Iterator[Split]:
        """Augmented faces (batch, 1, side, side) and their targets; the rare are drawn oftener."""
        faces, targets = self._training
        side = side_px(epoch / self._schedule.epochs)
        order = torch.multinomial(self._draws, len(self) * self._schedule.batch, replacement=self._loss.oversample > 0)
        for chosen in order.view(-1, self._schedule.batch):
            x = augment(faces[chosen])
            if side != SIZE_PX:
                x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
            yield x.to(memory_format=torch.channels_last), targets[chosen]

    def loss(self, batch: Split) -> Tensor:
        """Cross-entropy against the votes."""
        faces, targets = batch
        return distribution_loss(self.model(faces).logits, targets, self._loss, self._weights)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Accuracy against the majority and loss against the votes, without augmentation."""
        faces, targets = self._validation
        self.model.eval()
        parts = torch.split(faces, 256)
        said = torch.cat([self.model(part.to(memory_format=torch.channels_last)).logits for part in parts])
        hit = (said.argmax(1) == targets.argmax(1)).float()
        return {"valid_accuracy": hit.mean().item(), "valid_loss": F.cross_entropy(said, targets).item()}


def side_px(progress: float) -> int:
    """Side of the pictures at `progress` 0..1 through the training."""
    return next(side for until, side in SIDES_PX if progress < until or until == 1.0)


def read(split: str) -> Split:
    """The labelled images of `split`."""
    data = ferplus.load(split).labelled()
    return torch.from_numpy(data.images[:, None]), torch.from_numpy(data.distributions())


def main() -> None:
    """Train, then export, compare precisions, calibrate and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="face-vit")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the checkpoint and the curves")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = read_recipe(options.recipe, "face")
    assert recipe.schedule is not None
    torch.manual_seed(recipe.schedule.seed)
    model = FaceVit(**recipe.options)
    task = FaceTask(model, read("train"), read("valid"), recipe.schedule, recipe.loss)
    fit(task, recipe.schedule, options.out, resume=options.resume)
    publish_face(model)


if __name__ == "__main__":
    main()
