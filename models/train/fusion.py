"""Trains a learned fusion and compares it with the product: `python -m models.train.fusion --recipe fusion-mlp`.

Recipes: `fusion-product` (the default of the sidecar; nothing to train, it only scores), `fusion-mlp` and
`fusion-transformer`. A minute of one core each, on units of the validation splits put together by emotion (see
`models/evaluate/fusion_cases.py`), judged on those of the test splits. It leaves `NAME.onnx` in `--out` and its figures
beside the product's in `models/results/fusion.json`. To run it:

    SIDECAR_CONFIG=fusion.toml sidecar worker    # fusion.toml: [engines] fusion_model = ".cache/fusion/fusion-mlp.onnx"
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.evaluate import fusion as evaluation
from models.evaluate.fusion_cases import CACHE, Shelf, open_shelf
from models.evaluate.results import PACK, write
from models.export import TOLERANCE, ParityError, parity, to_onnx
from models.train.fusion_model import FusionMlp, FusionTransformer
from models.train.loop import Schedule, fit
from models.train.recipe import Recipe, RecipeError, read_recipe
from sidecar.fusion.alignment import AlignmentOptions, Evidence
from sidecar.fusion.calibration import reference_prior
from sidecar.fusion.estimator import EstimatorOptions
from sidecar.fusion.late import FusionOptions, ProductOfExperts
from sidecar.fusion.learned import WIDTH, LearnedFusion, features
from sidecar.inference.own_networks import fusion_spec, open_fusion_network
from sidecar.types import EMOTIONS, FloatArray, Modality

EACH: Final = 120
"""Training cases of each emotion and each set of modalities."""
FAINTEST: Final = 0.3
"""Weights are multiplied by a number from here to 1 while training, as poor quality and age do."""
COMPARED: Final = (
    "agreeing_accuracy",
    "three_agreeing_accuracy",
    "alone_face_accuracy",
    "alone_voice_accuracy",
    "alone_text_accuracy",
    "agreeing_abstained",
    "conflicting_abstained",
    "conflicting_over_agreeing",
)


class FusionTask:
    """Emotions from the evidence of one to three modalities."""

    def __init__(
        self, model: nn.Module, tables: Mapping[str, tuple[Tensor, Tensor]], schedule: Schedule, drop: float
    ) -> None:
        """`tables`: for `train` and `valid`, evidence (n, 3, 12) and emotions (n). `drop`: share of them hidden."""
        self.model = model
        self._tables, self._schedule, self._drop = tables, schedule, drop
        self._weights = torch.from_numpy(reference_prior()) * len(EMOTIONS)

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """All parameters alike."""
        return [{"params": self.model.parameters()}]

    def __len__(self) -> int:
        return max(1, len(self._tables["train"][1]) // self._schedule.batch)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:  # noqa: ARG002 - the order is drawn anew
        """Cases in random order, some of their modalities fainter, some hidden, never all."""
        evidence, emotions = self._tables["train"]
        order = torch.randperm(len(emotions))
        for number in range(len(self)):
            chosen = order[number * self._schedule.batch :][: self._schedule.batch]
            some = evidence[chosen]
            present = some[:, :, -1] > 0
            kept = present & (torch.rand(present.shape) >= self._drop)
            kept = torch.where(kept.any(1, keepdim=True), kept, present)
            strength = torch.empty(present.shape).uniform_(FAINTEST, 1.0)
            yield some * (kept * strength).unsqueeze(-1), emotions[chosen]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy, each emotion counting as often as it shows in conversation."""
        evidence, emotions = batch
        return F.cross_entropy(self.model(evidence), emotions, self._weights)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Minus the loss and accuracy over cases of other draws, whole."""
        evidence, emotions = self._tables["valid"]
        self.model.eval()
        logits = self.model(evidence)
        return {
            "valid_minus_loss": -F.cross_entropy(logits, emotions, self._weights).item(),
            "valid_accuracy": (logits.argmax(1) == emotions).float().mean().item(),
        }


def tables(shelf: Shelf, each: int, seed: int) -> tuple[Tensor, Tensor]:
    """Evidence (n, 3, 12) and emotions (n) of agreeing cases of one, two and three modalities."""
    product, options = ProductOfExperts(FusionOptions()), AlignmentOptions()
    rows: list[FloatArray] = []
    emotions: list[int] = []
    for count in range(1, len(Modality) + 1):
        for case in shelf.agreeing(each, count, seed):
            evidence = {
                said.modality: Evidence(said, evaluation.AGE_S, options.fresh_s(said.modality))
                for said in case.predictions
            }
            rows.append(features(evidence, product.fuse(evidence).weights))
            emotions.append(case.emotion)
    return torch.from_numpy(np.stack(rows)), torch.tensor(emotions)


def build(recipe: Recipe) -> nn.Module:
    """The untrained network of a recipe. Raises `RecipeError`."""
    makers: dict[str, type[nn.Module]] = {"mlp": FusionMlp, "transformer": FusionTransformer}
    if recipe.architecture not in makers:
        raise RecipeError(f"no fusion architecture {recipe.architecture!r}; there are product, mlp and transformer")
    options = {key: value for key, value in recipe.options.items() if key != "modality_dropout"}
    try:
        return makers[recipe.architecture](**options)
    except TypeError as error:
        raise RecipeError(f"recipe {recipe.name}, table [options]: {error}; correct that key") from error


def train(recipe: Recipe, pack: Path, out: Path, cache: Path = CACHE) -> Path:
    """Train, export and check; the graph's file. Two thirds of the validation units train, the rest choose."""
    schedule = recipe.scheduled()
    torch.manual_seed(schedule.seed)
    fitting, choosing = open_shelf("valid", pack, cache).split(2 / 3)
    data = {"train": tables(fitting, EACH, 0), "valid": tables(choosing, EACH // 4, 1)}
    model = build(recipe)
    fit(
        FusionTask(model, data, schedule, float(recipe.options.get("modality_dropout", 0.0))),
        schedule,
        out / recipe.name,
    )
    path = out / f"{recipe.name}.onnx"
    export(model, path)
    return path


def export(model: nn.Module, path: Path) -> None:
    """The network as the sidecar runs it. Raises `ParityError`."""
    sample = {"evidence": torch.rand(2, len(Modality), WIDTH)}
    graph = to_onnx(model, sample, fusion_spec(path, WIDTH))
    if (difference := parity(graph, model, sample)) > TOLERANCE:
        raise ParityError(f"{path}: outputs differ by {difference:.2e}, more than {TOLERANCE}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def main() -> None:
    """Train on validation, judge on test, note the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="fusion-product", help="name in models/train/recipes, or a .toml file")
    parser.add_argument("--pack", type=Path, default=PACK, help="whose encoders are fused")
    parser.add_argument(
        "--out", type=Path, default=CACHE, help="folder of the graph; history and curves are in a folder of its name"
    )
    parser.add_argument("--results", type=Path, default=evaluation.RESULTS, help="file to note the figures in")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = read_recipe(options.recipe, "fusion")
    product = ProductOfExperts(FusionOptions())
    chosen = None
    if recipe.architecture != "product":
        path = train(recipe, options.pack, options.out)
        chosen = LearnedFusion(open_fusion_network(path, WIDTH), product)
    found = evaluation.figures(open_shelf("test", options.pack), EstimatorOptions(), chosen)
    before = json.loads(options.results.read_text("utf-8")) if options.results.exists() else {}
    compared = {**before.get("compared", {}), recipe.architecture: {name: found[name] for name in COMPARED}}
    write(options.results, {**before, "compared": compared})
    print("\n".join(f"{name:32} {value:.4f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
