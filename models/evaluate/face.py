"""Scores the face model of the pack, as shipped, on FER+ test: `python -m models.evaluate.face`.

Writes `models/results/face.json`: the figures, the milliseconds of one crop on one thread, and the machine. FER+ names
no subjects, so the figures are not independent of the subject.
"""

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.datasets import ferplus
from models.evaluate.face_scores import score
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec, read_manifest

PACK: Final = Path(__file__).parents[1]
RESULTS: Final = PACK / "results" / "face.json"
NAME: Final = "face-vit"
BATCH: Final = 64
NOTES: Final = (
    "FER+ names no subjects: one person may stand in training and test, so no figure is independent of the subject.",
    "Images whose most frequent vote, the first of equals, is one of the eight emotions; that vote is the truth.",
    "call_like_*: the same images framed, lit, blurred, compressed and hidden at random as in training.",
    "ms: median processor time of one crop on one thread.",
)

Logits = NDArray[np.float32]
Predict = Callable[[NDArray[np.uint8]], Logits]
"""Crops (n, 48, 48) to logits (n, 8)."""


def entry(pack: Path = PACK) -> ModelSpec:
    """The manifest's entry. Raises LookupError where the pack has no face model, `PackError` for a bad manifest."""
    for spec in read_manifest(pack):
        if spec.name == NAME:
            return spec
    raise LookupError(f"{NAME} is not in {pack}")


def open_model(spec: ModelSpec, pack: Path = PACK, *, plain: bool = False) -> OrtModel:
    """One thread, as the sidecar runs it; `plain` keeps to ONNX Runtime's own CPU provider."""
    return OrtModel(msgspec.structs.replace(spec, provider="cpu") if plain else spec, pack / spec.file)


def predictor(model: OrtModel) -> Predict:
    """The model over any number of crops, in batches."""

    def predict(images: NDArray[np.uint8]) -> Logits:
        parts = [images[start : start + BATCH, None] for start in range(0, len(images), BATCH)]
        return np.concatenate([model.run({"face": part})["logits"] for part in parts])

    return predict


def milliseconds(model: OrtModel, runs: int = 200) -> float:
    """Median processor time of one crop: on a machine that others use too, the wall clock would measure them."""
    face = np.random.default_rng(0).integers(0, 256, (1, 1, 48, 48), np.uint8)
    times = []
    for _ in range(runs):
        began = time.process_time()
        model.run({"face": face})
        times.append(time.process_time() - began)
    return float(np.median(times) * 1000)


def call_like(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images (n, 48, 48) as a call might show them, the same each time."""
    import torch

    from models.train.face_augment import augment

    with torch.random.fork_rng():
        torch.manual_seed(0)
        worn: NDArray[np.uint8] = augment(torch.from_numpy(images[:, None])).round().byte().numpy()[:, 0]
    return worn


def evaluate(pack: Path = PACK, split: str = "test") -> dict[str, float]:
    """All figures of the model in `pack` on `split`, running the file that its manifest names."""
    spec = entry(pack)
    predict = predictor(open_model(spec, pack))
    data = ferplus.load(split).labelled()
    temperature = spec.calibration.temperature
    logits, labels = predict(data.images), data.labels()
    worn = score(predict(call_like(data.images)), labels, temperature)
    agreed = data.votes.max(1) * 2 > data.votes.sum(1)
    clear = score(logits[agreed], labels[agreed], temperature)
    right = logits.argmax(1) == labels
    return {
        **score(logits, labels, temperature),
        "call_like_accuracy": worn["accuracy"],
        "call_like_uar": worn["uar"],
        "accuracy_where_most_agree": clear["accuracy"],
        **{f"recall_{label}": float(right[labels == i].mean()) for i, label in enumerate(ferplus.LABELS)},
    }


def main() -> None:
    """Evaluate, time, write and print; keeps what the recipe noted of the precisions."""
    spec, figures = entry(), evaluate()
    model = open_model(spec)
    figures["ms"] = milliseconds(model)
    result: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    result |= {
        "model": {"name": spec.name, "version": spec.version, "sha256": spec.sha256},
        "machine": {
            "processor": processor(),
            "threads": 1,
            "onnxruntime": onnxruntime.__version__,
            "provider": model.provider,
        },
        "figures": {name: round(value, 4) for name, value in figures.items()},
        "notes": NOTES,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(RESULTS.read_text("utf-8"), end="")


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
