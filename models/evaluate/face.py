"""Scores the face model of the pack, as shipped, on FER+ test: `python -m models.evaluate face`.

FER+ names no subjects, so the figures are not independent of the subject, and it says nothing of gender, age or skin.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import ferplus
from models.datasets.ferplus import FerPlus
from models.evaluate import answers as parts
from models.evaluate import metrics, worn_faces
from models.evaluate.answers import Answers, calibrated
from models.evaluate.encoders import encoder, open_model
from models.evaluate.report import Report, curves, said_by_the_product
from models.evaluate.results import PACK, processor_ms
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.types import Modality

NAME: Final = "face-vit"
RESULTS: Final = PACK / "results" / "face.json"
BATCH: Final = 64
WORN: Final = 400
"""Images that the robustness curves are drawn from, every class as often as it comes."""
NOTES: Final = (
    "FER+ names no subjects: one person may stand in training and test, so no figure is independent of the subject, "
    "and the intervals draw single images.",
    "Images whose most frequent vote, the first of equals, is one of the eight emotions; that vote is the truth.",
    "call_like_*: the same images framed, lit, blurred, compressed and hidden at random as in training.",
    "Robustness: the same 400 test images, one flaw at a time.",
)
UNSLICED: Final = "FER+ carries neither gender, age, skin tone nor identity; only the light of the picture is sliced."

Logits = NDArray[np.float32]
Images = NDArray[np.uint8]
Predict = Callable[[Images], Logits]
"""Crops (n, side, side) to logits (n, labels)."""


def entry(pack: Path = PACK, name: str | None = None) -> ModelSpec:
    """The manifest's entry. Raises LookupError where the pack has no face model, `PackError` for a bad manifest."""
    return encoder(Modality.FACE, pack, name)


def predictor(model: OrtModel) -> Predict:
    """The model over any number of crops, scaled to its input and in batches."""
    side = int(model.spec.input[0].shape[-1])

    def predict(images: Images) -> Logits:
        ready = worn_faces.resampled(images, side)[:, None]
        parts = [ready[start : start + BATCH] for start in range(0, len(ready), BATCH)]
        return np.concatenate([model.run({"face": part})["logits"] for part in parts])

    return predict


def milliseconds(model: OrtModel, runs: int = 200) -> float:
    """Median processor time of one crop."""
    side = int(model.spec.input[0].shape[-1])
    face = np.random.default_rng(0).integers(0, 256, (1, 1, side, side), np.uint8)
    return processor_ms(lambda: model.run({"face": face}), runs)


def call_like(images: Images) -> Images:
    """The images (n, 48, 48) as a call might show them, the same each time."""
    import torch

    from models.train.face_augment import augment

    with torch.random.fork_rng():
        torch.manual_seed(0)
        worn: Images = augment(torch.from_numpy(images[:, None])).round().byte().numpy()[:, 0]
    return worn


def evaluate(pack: Path = PACK, split: str = "test") -> dict[str, float]:
    """All figures of the model in `pack` on `split`, running the file that its manifest names."""
    model = open_model(entry(pack), pack)
    return _figures(model, ferplus.load(split).labelled())[1]


def report(model: OrtModel) -> Report:
    """Figures, slices, coverage and robustness on FER+ test."""
    data = ferplus.load("test").labelled()
    head, figures = _figures(model, data)
    return Report(
        heads=(head,),
        figures=figures,
        robustness=_robustness(model, data),
        distribution=said_by_the_product(model, predictor(model)(ferplus.load("valid").labelled().images)),
        unsliced=UNSLICED,
        notes=NOTES,
    )


def timings(spec: ModelSpec, pack: Path = PACK) -> dict[str, float]:
    """Processor milliseconds of one crop on one thread, as shipped and on ONNX Runtime's own provider."""
    return {name: milliseconds(open_model(spec, pack, plain=name != "ms")) for name in ("ms", "plain_ms")}


def answers(model: OrtModel, data: FerPlus) -> Answers:
    """What the model says of labelled images, in the order of FER+'s labels."""
    shares = calibrated(predictor(model)(data.images), model.spec.calibration)
    order = [model.spec.labels.index(label) for label in ferplus.LABELS]
    return Answers(
        name="",
        labels=ferplus.LABELS,
        shares=shares[:, order],
        truth=data.labels(),
        people=range(len(data.images)),
        traits={"light": _light(data.images)},
    )


def _figures(model: OrtModel, data: FerPlus) -> tuple[Answers, dict[str, float]]:
    head = answers(model, data)
    truth, said = head.truth, head.said
    worn = answers(model, FerPlus(call_like(data.images), data.votes)).said
    agreed = data.votes.max(1) * 2 > data.votes.sum(1)
    return head, {
        **parts.figures(head),
        "call_like_accuracy": metrics.accuracy(truth, worn),
        "call_like_uar": metrics.uar(truth, worn),
        "accuracy_where_most_agree": metrics.accuracy(truth[agreed], said[agreed]),
        **{
            f"recall_{label}": float((said[truth == i] == i).mean())
            for i, label in enumerate(ferplus.LABELS)
            if (truth == i).any()
        },
    }


def _light(images: Images) -> list[str]:
    """Thirds of the images by their mean luma: it depends on lamp and camera as on skin, so it is called light."""
    mean = images.mean((1, 2))
    low, high = np.quantile(mean, [1 / 3, 2 / 3])
    return ["dark" if value < low else "bright" if value > high else "medium" for value in mean]


def _robustness(model: OrtModel, data: FerPlus) -> dict[str, Any]:
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.images))[:WORN])
    some = FerPlus(data.images[chosen], data.votes[chosen])

    def figures(wear: Callable[[Images], Images]) -> dict[str, float]:
        head = answers(model, FerPlus(wear(some.images), some.votes))
        return {"accuracy": metrics.accuracy(head.truth, head.said), "uar": metrics.uar(head.truth, head.said)}

    return curves(worn_faces.FLAWS, figures, lambda wear, degree: lambda images: wear(images, degree))
