"""From the trained face model to the pack: calibration on validation, FP32 against INT8, the better one published."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.datasets import ferplus
from models.datasets.ferplus import FerPlus
from models.evaluate import face as evaluation
from models.evaluate.face import Logits
from models.evaluate.face_scores import probabilities, score
from models.export import PACK, UNKNOWN_SHA256, Precision, publish, record
from models.train.face_model import FaceVit
from sidecar.inference.manifest import Calibration, InputSpec, ModelSpec, OutputSpec
from sidecar.types import Modality

LARGEST_LOSS: Final = 0.01
"""Accuracy that INT8 may cost on validation."""
FAMILIAR_SHARE: Final = 0.995
"""Share of validation faces, half of them made call-like, that must count as familiar."""
CALIBRATION_IMAGES: Final = 512

ENTRY: Final = ModelSpec(
    name=evaluation.NAME,
    version="1",
    modality=Modality.FACE,
    role="encoder",
    file="weights/face-vit.onnx",
    sha256=UNKNOWN_SHA256,
    source="repository",
    recipe="python -m models.train.face",
    licence="research only: FER2013 images carry no clear grant (FER+ labels: MIT)",
    commercial=False,
    trained_on=("FER+ train (Barsoum et al., ICMI 2016)",),
    input=(InputSpec(name="face", shape=("batch", 1, 48, 48), type="uint8", units="BT.601 luma, 0-255"),),
    output=(
        OutputSpec(name="logits", shape=("batch", 8), units="before softmax"),
        OutputSpec(name="embedding", shape=("batch", 192), units="none"),
    ),
    preprocess=(
        "Five points of the upright RGB picture: the middles of the person's right and left eye (between face-mesh "
        "points 33 and 133, and 263 and 362), tip of the nose (1), right and left corner of the mouth (61, 291). The "
        "similarity of least squares takes them to (15.13, 18.64), (32.87, 18.64), (24, 29.97), (16.83, 36.71) and "
        "(31.17, 36.71) in a 48 x 48 crop, resampled bilinearly, edge pixels repeated outside the picture; luma = "
        "0.299 R + 0.587 G + 0.114 B, rounded. The graph subtracts each crop's mean and divides by its deviation."
    ),
    labels=ferplus.LABELS,
    map={label: label for label in ferplus.LABELS},
)


def publish_face(model: FaceVit, pack: Path = PACK) -> ModelSpec:
    """Publish the faster precision that keeps its accuracy, calibrated, with its test figures and the comparison."""
    model = model.to(memory_format=torch.contiguous_format).eval()
    compared = compare_precisions(model)
    precision = choose(compared)
    _publish(model, precision, pack)
    spec = record(evaluation.NAME, pack, calibration=calibrate(pack))
    spec = record(spec.name, pack, metrics={k: round(v, 4) for k, v in evaluation.evaluate(pack).items()})
    results = pack / "results" / evaluation.RESULTS.name
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"shipped": precision, "precisions": compared}), "utf-8")
    return spec


def compare_precisions(model: FaceVit) -> dict[Precision, dict[str, float]]:
    """Validation accuracy and milliseconds a crop of each precision under each provider of this machine."""
    data = ferplus.load("valid").labelled()
    figures: dict[Precision, dict[str, float]] = {"fp32": {}, "int8": {}}
    with tempfile.TemporaryDirectory() as folder:
        for precision, row in figures.items():
            spec = _publish(model, precision, Path(folder))
            for plain in (False, True):
                session = evaluation.open_model(spec, Path(folder), plain=plain)
                said = evaluation.predictor(session)(data.images)
                row[f"{session.provider}_accuracy"] = round(score(said, data.labels(), 1.0)["accuracy"], 4)
                row[f"{session.provider}_ms"] = round(evaluation.milliseconds(session), 3)
    return figures


def choose(compared: dict[Precision, dict[str, float]]) -> Precision:
    """INT8 where its best provider is faster than FP32's best and it is as good as that under every provider."""
    fastest = {precision: min(v for k, v in row.items() if k.endswith("_ms")) for precision, row in compared.items()}
    worst = {precision: min(v for k, v in row.items() if k.endswith("accuracy")) for precision, row in compared.items()}
    good = worst["int8"] > worst["fp32"] - LARGEST_LOSS
    return "int8" if good and fastest["int8"] < fastest["fp32"] else "fp32"


def calibrate(pack: Path) -> Calibration:
    """Temperature and energy limit of the published model on validation; the prior is the training targets' mean."""
    predict = evaluation.predictor(evaluation.open_model(evaluation.entry(pack), pack))
    data = ferplus.load("valid").labelled()
    logits = predict(data.images)
    temperature = fit_temperature(logits, data.labels())
    both = np.concatenate((logits, predict(evaluation.call_like(data.images))))
    prior = ferplus.load("train").labelled().distributions().mean(0)
    return Calibration(
        temperature=round(temperature, 4),
        prior=tuple(round(float(share), 4) for share in prior),
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


def _publish(model: FaceVit, precision: Precision, pack: Path) -> ModelSpec:
    data = ferplus.load("train").labelled()
    sample = {"face": torch.from_numpy(data.images[:3, None])}
    return publish(model, sample, ENTRY, precision=precision, calibration=_feeds(data), pack=pack)


def _feeds(data: FerPlus) -> Iterator[dict[str, NDArray[np.uint8]]]:
    """Training faces for INT8's ranges: plain ones and call-like ones."""
    images = data.images[:CALIBRATION_IMAGES]
    for part in np.split(np.concatenate((images, evaluation.call_like(images))), 64):
        yield {"face": part[:, None]}
