"""Trains a face encoder: `python -m models.train.face --recipe face-vit`.

The default recipe takes about an hour on two free cores and publishes into the repository's pack; `--resume` goes on
from the last finished epoch in `--out`. For one's own faces:

    python -m models.train.face --corpus folder:PATH --out runs/mine --pack runs/mine/pack

trains on PATH/CLASS/*.png (see `models/datasets/folder.py`) and leaves a whole pack that `sidecar analyze --pack` runs.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.train.command import train_command
from models.train.face_augment import augment
from models.train.face_cases import Faces, load_faces, only_shown
from models.train.face_model import SIZE_PX, FaceVit, RatedFaceOutputs
from models.train.face_publish import entry_for, publish_face
from models.train.hub import fresh_classifier, open_checkpoint
from models.train.hub_contract import FaceContract, picture_format
from models.train.loop import Schedule, fit
from models.train.losses import LossOptions, ccc_loss, class_weights, distribution_loss, draw_weights
from models.train.own_pack import begin_pack
from models.train.recipe import Recipe, RecipeError

SIDES_PX: Final = ((0.2, 32), (0.35, 40), (1.0, SIZE_PX))
"""Until this share of the training, pictures of that side: small ones cost less and teach the coarse shapes."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Faces (batch, 1, side, side), target shares (batch, 8), ratings (batch, 3)."""


class FaceTask:
    """Expressions from crops, and affect where the corpus rates it; augmentation as calls suffer it."""

    def __init__(
        self, model: nn.Module, training: Faces, validation: Faces, schedule: Schedule, loss: LossOptions
    ) -> None:
        self.model = model.to(memory_format=torch.channels_last)
        self._training, self._validation = _tensors(training), _tensors(validation)
        self._schedule, self._loss = schedule, loss
        self._grows = isinstance(model, FaceVit)
        self._weights = class_weights(self._training[1], loss.class_weights)
        self._draws = draw_weights(self._training[1], loss.oversample)

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """All parameters alike."""
        return [{"params": self.model.parameters()}]

    def __len__(self) -> int:
        return max(1, len(self._draws) // self._schedule.batch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Augmented faces and their targets; the rare are drawn oftener."""
        side = side_px(epoch / self._schedule.epochs) if self._grows else SIZE_PX
        count = min(len(self._draws), len(self) * self._schedule.batch)
        order = torch.multinomial(self._draws, count, replacement=self._loss.oversample > 0)
        for chosen in torch.split(order, self._schedule.batch):
            faces, targets, vad = (part[chosen] for part in self._training)
            x = augment(faces)
            if side != SIZE_PX:
                x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
            yield x.to(memory_format=torch.channels_last), targets, vad

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy against the shares, and 1 - CCC of the ratings."""
        faces, targets, vad = batch
        said = self.model(faces)
        loss = distribution_loss(said.logits, targets, self._loss, self._weights)
        return loss + ccc_loss(said.vad, vad) if isinstance(said, RatedFaceOutputs) else loss

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Accuracy against the largest share and loss against the shares, without augmentation."""
        faces, targets, vad = self._validation
        self.model.eval()
        outputs = [self.model(part.to(memory_format=torch.channels_last)) for part in torch.split(faces, 256)]
        logits = torch.cat([each.logits for each in outputs])
        hit = (logits.argmax(1) == targets.argmax(1)).float()
        figures = {"valid_accuracy": hit.mean().item(), "valid_loss": F.cross_entropy(logits, targets).item()}
        if isinstance(outputs[0], RatedFaceOutputs):
            figures["valid_ccc"] = 1 - ccc_loss(torch.cat([each.vad for each in outputs]), vad).item()
        return figures


def side_px(progress: float) -> int:
    """Side of the pictures at `progress` 0..1 through the training."""
    return next(side for until, side in SIDES_PX if progress < until or until == 1.0)


def build(recipe: Recipe, labels: Sequence[str]) -> nn.Module:
    """The untrained network of a recipe, or the checkpoint it starts from. Raises `RecipeError`, `CheckpointError`."""
    if recipe.architecture == "vit-compact":
        try:
            return FaceVit(labels=len(labels), **recipe.options)
        except TypeError as error:
            raise RecipeError(f"recipe {recipe.name}, table [options]: {error}; correct that key") from error
    if recipe.architecture != "vit-hub":
        raise RecipeError(f"no face architecture {recipe.architecture!r}; there are vit-compact and vit-hub")
    if recipe.checkpoint is None:
        raise RecipeError("vit-hub starts from a checkpoint: --checkpoint FOLDER, as `hf download` leaves it")
    checkpoint = open_checkpoint(Path(recipe.checkpoint))
    return FaceContract(fresh_classifier(checkpoint, "ImageClassification", labels), picture_format(checkpoint))


def follow(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train, then export, compare precisions, calibrate and publish. Raises what `load_faces`, `build`, `fit` raise."""
    schedule = recipe.scheduled()
    torch.manual_seed(schedule.seed)
    labels, faces = only_shown(load_faces(recipe.corpora))
    model = build(recipe, labels)
    begin_pack(options.pack)
    task = FaceTask(model, faces["train"], faces["valid"], schedule, recipe.loss)
    fit(task, schedule, options.out, resume=options.resume, made_from=(recipe, dict(faces)))
    publish_face(model, entry_for(recipe, model, labels), faces, options.pack)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where the recipe cannot be followed, with the reason."""
    return train_command("face", follow, doc=__doc__, recipe="face-vit", threads=2, arguments=arguments)


def _tensors(faces: Faces) -> Batch:
    return torch.from_numpy(faces.images[:, None]), torch.from_numpy(faces.targets), torch.from_numpy(faces.vad)


if __name__ == "__main__":
    sys.exit(main())
