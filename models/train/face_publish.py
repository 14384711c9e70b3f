"""From the trained face model to the pack: calibration on validation, FP32 against INT8, the better one published."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
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

PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "int8")
PLAIN: Final = "CPUExecutionProvider"
LARGEST_LOSS: Final = 0.01
"""Validation accuracy that speed may cost."""
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
        OutputSpec(name="embedding", shape=("batch", 160), units="none"),
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the model, measured on this machine."""

    precision: Precision
    provider: str
    accuracy: float
    """On validation."""
    ms: float
    """Processor time of one crop."""


def publish_face(model: FaceVit, pack: Path = PACK) -> ModelSpec:
    """Publish the fastest precision that keeps its accuracy, calibrated, with its test figures and the comparison."""
    model = model.to(memory_format=torch.contiguous_format).eval()
    candidates = compare(model)
    best = choose(candidates)
    _publish(model, best.precision, pack)
    record(ENTRY.name, pack, provider="cpu" if best.provider == PLAIN else "auto")
    record(ENTRY.name, pack, calibration=calibrate(pack))
    results = pack / "results" / evaluation.RESULTS.name
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"shipped": asdict(best), "compared": [asdict(c) for c in candidates]}), "utf-8")
    return record(ENTRY.name, pack, metrics={k: round(v, 4) for k, v in evaluation.evaluate(pack).items()})


def compare(model: FaceVit) -> list[Candidate]:
    """FP32 and INT8 under the best and the plain provider of this machine."""
    data = ferplus.load("valid").labelled()
    with tempfile.TemporaryDirectory() as folder:
        sessions = []
        for precision in PRECISIONS:
            pack = Path(folder) / precision
            spec = _publish(model, precision, pack)
            sessions += [(precision, evaluation.open_model(spec, pack, plain=plain)) for plain in (False, True)]
        return [
            Candidate(
                precision,
                session.provider,
                round(score(evaluation.predictor(session)(data.images), data.labels(), 1.0)["accuracy"], 4),
                round(evaluation.milliseconds(session), 3),
            )
            for precision, session in sessions
        ]


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The fastest of those that lose next to nothing against the most accurate."""
    enough = max(candidate.accuracy for candidate in candidates) - LARGEST_LOSS
    return min((c for c in candidates if c.accuracy > enough), key=lambda candidate: candidate.ms)


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
