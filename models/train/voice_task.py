"""Trains all of a network on windows as calls deliver them, by the loop that every modality shares."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from models.export import PACK
from models.train.loop import Schedule, fit
from models.train.losses import LossOptions, ccc_loss, class_weights, distribution_loss, draw_weights
from models.train.recipe import Recipe
from models.train.voice_calibration import calibrate
from models.train.voice_cases import Material, VoiceCase, contents, targets, weights
from models.train.voice_head import recall, shares_of
from models.train.voice_network import Maker, VoiceEncoded, VoiceNetwork
from models.train.voice_publish import Origin, publish_voice, voice_entry
from models.train.voice_windows import as_recorded, in_a_call, in_another_voice
from sidecar.inference.manifest import ModelSpec

CALL: Final = "call"
"""In a recipe's `[augment]`: the share of the windows that sound like a call."""
VOICE: Final = "voice"
"""The share in another voice; what remains is as recorded."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from."""

    audio: Tensor  # (batch, 48000)
    targets: Tensor  # (batch, labels), each row sums to 1
    vad: Tensor  # (batch, 3), NaN where the corpus does not rate


class VoiceTask:
    """Emotions, and valence, arousal and dominance where they are rated, from windows of 3 s."""

    def __init__(
        self,
        model: VoiceNetwork,
        material: Material,
        schedule: Schedule,
        loss: LossOptions,
        augment: Mapping[str, float],
    ) -> None:
        """`augment` as in the recipe. Raises `CorpusError` for a class without any samples."""
        self.model = model
        self._train, self._valid = material.train, material.valid
        self._truth = targets(material.train, material.labels)
        self._valid_truth = targets(material.valid, material.labels)
        self._schedule, self._loss, self._augment = schedule, loss, augment
        shares = torch.from_numpy(shares_of(self._truth)).float()
        self._weights = class_weights(shares, loss.class_weights)
        self._draws = draw_weights(shares, loss.oversample)

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """What the body asks for, and the heads at the peak rate."""
        body: Any = self.model.body
        heads = [each for name, each in self.model.named_parameters() if not name.startswith("body.")]
        own = body.groups() if hasattr(body, "groups") else [{"params": list(body.parameters())}]
        return [*(group for group in own if group["params"]), {"params": heads}]

    def __len__(self) -> int:
        return max(1, len(self._train) // self._schedule.batch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Another window of each clip in every epoch; the rare are drawn oftener where the recipe says so."""
        random = np.random.default_rng([self._schedule.seed, epoch])
        count = min(len(self) * self._schedule.batch, len(self._train))
        chosen = torch.multinomial(self._draws, count, replacement=self._loss.oversample > 0).numpy()
        for rows in np.array_split(chosen, len(self)):
            audio = [self._window(self._train[row], random) for row in rows]
            shares = shares_of(self._truth[rows])
            vad = [self._train[row].clip.sample.vad or (np.nan,) * 3 for row in rows]
            yield Batch(torch.from_numpy(np.stack(audio)), torch.from_numpy(shares).float(), torch.tensor(vad).float())

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy, plus 1 - CCC of the axes where there are any."""
        told = self.model(batch.audio)
        loss = distribution_loss(told.logits, batch.targets, self._loss, self._weights)
        return loss + ccc_loss(told.vad, batch.vad) if isinstance(told, VoiceEncoded) else loss

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """UAR over the validation speakers, as recorded."""
        return {"valid_uar": recall(self.valid_logits(), self._valid_truth)}

    @torch.no_grad()
    def valid_logits(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(clips, labels) of the validation speakers."""
        self.model.eval()
        rows = []
        for start in range(0, len(self._valid), self._schedule.batch):
            some = [as_recorded(case.clip) for case in self._valid[start : start + self._schedule.batch]]
            rows.append(self.model(torch.from_numpy(np.stack(some))).logits.float().numpy())
        return np.concatenate(rows)

    def _window(self, case: VoiceCase, random: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
        drawn = random.random()
        if drawn < self._augment.get(CALL, 0.7):
            return in_a_call(case.clip, [case.clip], random)
        if drawn > 1 - self._augment.get(VOICE, 0.15):
            return in_another_voice(case.clip, random)
        return as_recorded(case.clip)


def train_network(
    recipe: Recipe, make: Maker, material: Material, out: Path, pack: Path = PACK, *, resume: bool = False
) -> ModelSpec:
    """Train, calibrate on the validation speakers, publish. Raises `CheckpointError`, `RecipeError`, ..."""
    schedule = recipe.scheduled()
    torch.manual_seed(schedule.seed)
    body, width = make(recipe)
    rated = any(case.clip.sample.vad is not None for case in material.train)
    model = VoiceNetwork(body, width, len(material.labels), affect=rated)
    task = VoiceTask(model, material, schedule, recipe.loss, recipe.augment)
    fit(task, schedule, out, resume=resume, made_from=(recipe, contents(material)))
    truth, counts = targets(material.valid, material.labels), weights(material.valid)
    prior = weights(material.train) @ shares_of(targets(material.train, material.labels))
    calibration = calibrate(task.valid_logits(), truth, counts, prior / prior.sum())
    started = recipe.checkpoint or ""
    origin = Origin(recipe.name, f"python -m models.train.voice --recipe {recipe.name}", started, version="1")
    return publish_voice(model.eval(), voice_entry(model, material, origin, calibration), material, pack)
