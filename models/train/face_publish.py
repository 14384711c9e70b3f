"""From the trained face model to the pack: the best precision published, calibrated on validation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.datasets.catalogue import resolve
from models.evaluate import face as evaluation
from models.evaluate.encoders import open_model
from models.evaluate.face import Logits
from models.evaluate.metrics import probabilities, score
from models.export import PACK, PORTABLE, record
from models.export.examples import Examples, Validation
from models.export.kept import KEPT
from models.export.publishing import publish_best
from models.train.face_cases import Faces
from models.train.hub_entry import contract_entry
from models.train.recipe import Recipe
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import Calibration, ModelSpec
from sidecar.types import Modality

FAMILIAR_SHARE: Final = 0.995
"""Share of validation faces, half of them made call-like, that must count as familiar."""
CALIBRATION_IMAGES: Final = 512
PREPROCESS: Final = (
    "Five points of the upright RGB picture: the middles of the person's right and left eye (between face-mesh "
    "points 33 and 133, and 263 and 362), tip of the nose (1), right and left corner of the mouth (61, 291). The "
    "similarity of least squares takes them to (15.13, 18.64), (32.87, 18.64), (24, 29.97), (16.83, 36.71) and "
    "(31.17, 36.71) in a 48 x 48 crop, resampled bilinearly, edge pixels repeated outside the picture; luma = "
    "0.299 R + 0.587 G + 0.114 B, rounded. The graph subtracts each crop's mean and divides by its deviation."
)


def entry_for(recipe: Recipe, model: nn.Module, labels: Sequence[str]) -> ModelSpec:
    """The manifest's entry of what the recipe trains: it takes the place of the pack's face encoder."""
    corpora = [resolve(reference)[0] for reference in recipe.corpora]
    return contract_entry(
        Modality.FACE,
        model.to(memory_format=torch.contiguous_format),
        {"face": torch.zeros(2, 1, 48, 48, dtype=torch.uint8)},
        labels,
        name=evaluation.NAME,
        version="3",
        recipe=f"python -m models.train.face --recipe {recipe.name}",
        licence="; ".join(corpus.licence for corpus in corpora),
        commercial=all(corpus.commercial for corpus in corpora),
        trained_on=tuple(corpus.citation for corpus in corpora),
        preprocess=PREPROCESS,
        map={label: label for label in labels},
    )


def publish_face(model: nn.Module, entry: ModelSpec, faces: Mapping[str, Faces], pack: Path = PACK) -> ModelSpec:
    """Publish the precision that `models.export` finds best, calibrated, with its test figures."""
    model = model.to(memory_format=torch.contiguous_format).eval()
    training, validation = faces["train"].images, faces["valid"]
    some = training[np.random.default_rng(0).permutation(len(training))[:CALIBRATION_IMAGES]]
    spec = publish_best(
        model,
        {"face": torch.from_numpy(np.resize(training, (3, 1, 48, 48)))},
        entry,
        calibration=Examples({"face": np.concatenate((some, evaluation.call_like(some)))[:, None]}),
        validation=Validation(Examples({"face": validation.images[:, None]}), validation.labels),
        precisions=PORTABLE,
        pack=pack,
        kept=KEPT if pack == PACK else pack / "export",
    )
    spec = record(entry.name, pack, calibration=calibrate(open_model(spec, pack), faces))
    figures = _scored(open_model(spec, pack), faces["test"], spec.calibration.temperature)
    return record(entry.name, pack, metrics={name: round(value, 4) for name, value in figures.items()})


def calibrate(model: OrtModel, faces: Mapping[str, Faces]) -> Calibration:
    """Temperature and energy limit of the published model on validation; the prior is the training targets' mean."""
    predict, data = evaluation.predictor(model), faces["valid"]
    logits = predict(data.images)
    temperature = fit_temperature(logits, data.labels)
    both = np.concatenate((logits, predict(evaluation.call_like(data.images))))
    return Calibration(
        temperature=round(temperature, 4),
        prior=tuple(round(float(share), 4) for share in faces["train"].targets.mean(0)),
        energy_limit=round(float(np.quantile(free_energy(both, temperature), FAMILIAR_SHARE)), 4),
    )


def fit_temperature(logits: Logits, labels: NDArray[np.int64]) -> float:
    """The temperature under which the labels are likeliest (Guo et al., ICML 2017), to half a percent."""
    rows = np.arange(len(labels))
    candidates = np.geomspace(0.25, 4, 555)
    losses = [-np.log(probabilities(logits, float(t))[rows, labels] + 1e-12).mean() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def free_energy(logits: Logits, temperature: float) -> NDArray[np.float64]:
    """(n,) -T logsumexp(z / T): high where nothing speaks for any class (Liu et al., NeurIPS 2020)."""
    energy: NDArray[np.float64] = -temperature * np.logaddexp.reduce(logits.astype(np.float64) / temperature, axis=1)
    return energy


def _scored(model: OrtModel, faces: Faces, temperature: float) -> dict[str, float]:
    return score(evaluation.predictor(model)(faces.images), faces.labels, temperature)
