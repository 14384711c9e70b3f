"""The training loop, the losses and the recipe files that all modalities share."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.datasets.corpus import CorpusError
from models.train.checkpoints import CheckpointMismatch, fingerprint
from models.train.loop import Schedule, TrainingDiverged, fit, rate
from models.train.losses import (
    LossOptions,
    ccc_loss,
    class_weights,
    distribution_loss,
    draw_weights,
    mixed,
)
from models.train.recipe import RECIPES, RecipeError, read_recipe


class Line:
    """Learns a slope from points of the line y = 3 x."""

    def __init__(self, spoiled_epoch: int | None = None) -> None:
        torch.manual_seed(5)
        self.model: nn.Module = nn.Linear(1, 1)
        self.spoiled_epoch = spoiled_epoch
        self.judged: list[float] = []

    def groups(self) -> Sequence[Mapping[str, Any]]:
        return [{"params": self.model.parameters()}]

    def __len__(self) -> int:
        return 8

    def batches(self, epoch: int) -> Iterator[Tensor]:
        for _ in range(8):
            x = torch.rand(16, 1)
            yield x * math.nan if epoch == self.spoiled_epoch else x

    def loss(self, batch: Tensor) -> Tensor:
        return (self.model(batch) - 3 * batch).square().mean()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        self.judged.append(self.model(torch.ones(1, 1)).item())
        return {"closeness": -abs(self.judged[-1] - 3)}


def weights(task: Line) -> list[float]:
    return [value for parameter in task.model.parameters() for value in parameter.flatten().tolist()]


def test_the_rate_rises_falls_and_ends_at_nothing() -> None:
    rates = [rate(step / 100, 0.1) for step in range(101)]
    peak = rates.index(max(rates))
    assert (rates[0], peak, max(rates)) == (0, 10, 1)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_resumed_training_goes_on_where_it_stopped(tmp_path: Path, average: float) -> None:
    schedule = Schedule(epochs=4, peak_rate=0.1, average=average)
    whole = Line()
    history = fit(whole, schedule, tmp_path / "whole")
    stopped = Line(spoiled_epoch=2)
    with pytest.raises(TrainingDiverged, match="epoch 3, batch 1: the loss is nan; lower peak_rate"):
        fit(stopped, schedule, tmp_path / "parts")
    resumed = Line()
    again = fit(resumed, schedule, tmp_path / "parts", resume=True)
    assert weights(resumed) == weights(whole)
    assert [row["closeness"] for row in again] == [row["closeness"] for row in history]
    assert (tmp_path / "parts" / "curves.png").stat().st_size > 1000
    written = json.loads((tmp_path / "parts" / "history.json").read_text())
    assert (written["schedule"]["seed"], len(written["epochs"])) == (0, 4)


@pytest.mark.parametrize("change", ["recipe", "schedule", "start", "damage", "older version"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, change: str) -> None:
    schedule, checkpoint = Schedule(epochs=2, peak_rate=0.1), tmp_path / "checkpoint.pt"
    fit(Line(), schedule, tmp_path, made_from="recipe a")
    task, recipe = Line(), "recipe a"
    if change == "recipe":
        recipe = "recipe b"
    elif change == "schedule":
        schedule = Schedule(epochs=3, peak_rate=0.1)
    elif change == "start":
        torch.nn.init.zeros_(next(task.model.parameters()))
    elif change == "damage":
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    else:
        state = torch.load(checkpoint)
        del state["fingerprint"]
        torch.save(state, checkpoint)
    with pytest.raises(CheckpointMismatch, match=r"checkpoint\.pt: .*without --resume"):
        fit(task, schedule, tmp_path, made_from=recipe, resume=True)
    assert len(fit(task, schedule, tmp_path, made_from=recipe)) == schedule.epochs, "without resume it begins again"


def test_fingerprints_tell_contents_apart() -> None:
    recipe = read_recipe("face-vit", "face")
    parts = [
        recipe,
        recipe.told(epochs=1),
        np.zeros(3),
        np.zeros(3, np.float32),
        np.zeros((3, 1)),
        ("a", "b"),
        ("ab",),
        (("a",), "b"),
        {"a": 1},
        {"a": 1.0},
        {"a": "1"},
        None,
        torch.zeros(()),
    ]
    assert len({fingerprint(part) for part in parts}) == len(parts)
    assert fingerprint({"a": 1, "b": [np.ones(2)]}) == fingerprint({"b": [np.ones(2)], "a": 1})
    with pytest.raises(TypeError, match="no fingerprint of a object"):
        fingerprint(object())


def test_accumulated_gradients_make_one_step(tmp_path: Path) -> None:
    class Watched(Line):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[float] = []

        def loss(self, batch: Tensor) -> Tensor:
            self.seen.append(weights(self)[0])
            return super().loss(batch)

    task = Watched()
    fit(task, Schedule(epochs=1, peak_rate=0.1, accumulate=4, warm_up=0), tmp_path)
    first, second = set(task.seen[:4]), set(task.seen[4:])
    assert (len(first), len(second)) == (1, 1)
    assert first != second


def test_stale_trainings_end_at_their_best_epoch(tmp_path: Path) -> None:
    class Worse(Line):
        @torch.no_grad()
        def validate(self) -> dict[str, float]:
            self.judged.append(self.model(torch.ones(1, 1)).item())
            return {"figure": -float(len(self.judged))}

    task = Worse()
    assert len(fit(task, Schedule(epochs=50, peak_rate=0.1, patience=3), tmp_path)) == 4
    assert task.model(torch.ones(1, 1)).item() == task.judged[0]


def test_the_running_mean_of_the_weights_is_judged_and_kept(tmp_path: Path) -> None:
    task = Line()
    fit(task, Schedule(epochs=3, peak_rate=0.3, average=0.99), tmp_path)
    assert task.model(torch.ones(1, 1)).item() == pytest.approx(task.judged[-1])
    plain = Line()
    fit(plain, Schedule(epochs=3, peak_rate=0.3), tmp_path / "plain")
    assert abs(task.judged[-1] - 3) > abs(plain.judged[-1] - 3)  # it lags behind


def test_distribution_loss_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    likely = 1 / (1 + math.exp(-2))
    plain = distribution_loss(logits, targets, LossOptions()).item()
    assert plain == pytest.approx((-math.log(likely) + math.log(2)) / 2, rel=1e-5)
    focal = distribution_loss(logits[:1], targets[:1], LossOptions(focal=2.0)).item()
    assert focal == pytest.approx(-((1 - likely) ** 2) * math.log(likely), rel=1e-4)
    smooth = distribution_loss(logits[:1], targets[:1], LossOptions(smoothing=0.2)).item()
    assert smooth == pytest.approx(-0.9 * math.log(likely) - 0.1 * math.log(1 - likely), rel=1e-5)


def test_weights_of_classes_and_draws() -> None:
    targets = torch.eye(2)[torch.tensor([0, 0, 0, 1])]
    balanced = class_weights(targets, "balanced")
    assert balanced is not None
    assert (balanced[1] / balanced[0]).item() == pytest.approx(3)
    assert (targets @ balanced).mean().item() == pytest.approx(1)
    assert draw_weights(targets, 1.0).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert class_weights(targets, "none") is None
    with pytest.raises(CorpusError, match=r"classes \[1\] have no samples"):
        class_weights(torch.eye(2)[torch.tensor([0, 0])], "balanced")


def test_concordance_loss_is_zero_for_agreement_and_skips_unknown_rows() -> None:
    truth = torch.tensor([[0.1, 0.5], [0.3, -0.2], [0.9, 0.0]])
    assert ccc_loss(truth.clone(), truth).item() == pytest.approx(0, abs=1e-5)
    assert ccc_loss(truth + 1, truth).item() > 0.5
    unknown = torch.cat((truth, torch.full((1, 2), torch.nan)))
    assert ccc_loss(torch.cat((truth, torch.ones(1, 2))), unknown).item() == pytest.approx(0, abs=1e-5)


def test_mixed_examples_keep_their_own_label_as_the_larger() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.arange(32.0)[:, None], torch.eye(32)
    blended, wanted = mixed(inputs, targets, 0.4)
    assert torch.allclose(wanted @ inputs, blended, atol=1e-4)
    assert torch.allclose(wanted.sum(1), torch.ones(32))
    assert (wanted.diagonal() >= 0.5).all()
    assert not torch.allclose(blended, inputs)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(path: Path) -> None:
    modality = path.stem.split("-")[0]
    assert read_recipe(path.stem, modality) == read_recipe(str(path), modality)


def test_recipes_that_cannot_be_followed_say_why(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(RecipeError, match=r"mine\.toml cannot be read; recipes here: .*face-vit"):
        read_recipe(str(path), "face")
    path.write_text('modality = "face"\narchitecture = "x"\ncorpora = []\nrate = 1\n')
    with pytest.raises(RecipeError, match=r"mine.toml: .*rate.*correct that key"):
        read_recipe(str(path), "face")
    path.write_text('modality = "text"\narchitecture = "x"\ncorpora = []\n')
    with pytest.raises(RecipeError, match=r"run python -m models\.train\.text"):
        read_recipe(str(path), "face")
