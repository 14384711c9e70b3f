"""The weights of `sidecar/media/drawn_face.toml`: `python -m models.train.drawn_face`.

A logistic regression that tells painted faces (`models.train.drawings`) from people: FER+ training images and four of
the clips, clean and worn. Nothing of either is kept but 261 coefficients. It takes some five minutes of one core and
needs the corpora (`SIDECAR_DATA`).
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from models.convert.mediapipe import MODELS
from models.evaluate.drawn_cases import Case, drawn_cases, real_cases
from sidecar.faces import FaceLandmarks
from sidecar.inference.blazeface import FaceDetector
from sidecar.inference.face_mesh import FaceMesh
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest
from sidecar.media import drawn_face
from sidecar.media.drawn_face import CLIP, drawn_features
from sidecar.media.face_crop import aligned_luma

TABLE: Final = Path(drawn_face.__file__).with_suffix(".toml")
_STRENGTH: Final = 0.01
"""Inverse of the regression's penalty."""
_PRESENT: Final = 0.5
_HEADER: Final = """\
# Weights of the regression that tells drawn faces from people: see drawn_face.py beside this file.
# Made by `python -m models.train.drawn_face` from FER+ images (labels MIT, images without a clear grant), four GRID
# clips (CC BY 4.0) and drawings that the recipe paints. `mean` and `deviation` of each feature, then its weight.
"""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """A face that detector and mesh took for one."""

    case: Case
    face: FaceLandmarks
    features: NDArray[np.float32]


class Finder:
    """The production path from a picture to the features."""

    def __init__(self, pack: Path = MODELS) -> None:
        specs = {spec.name: spec for spec in read_manifest(pack)}
        detector, mesh = (OrtModel(specs[name], pack / specs[name].file) for name in ("blazeface", "face-mesh"))
        self._detector, self._mesh = FaceDetector(detector), FaceMesh(mesh)

    def found(self, cases: Iterable[Case]) -> Iterator[Found]:
        """The cases in which a face is found that looks roughly at the camera."""
        for case in cases:
            boxes = self._detector.detect(case.rgb)
            face = self._mesh.landmarks(case.rgb, boxes[0]) if boxes else None
            if face is not None and face.presence >= _PRESENT:
                features = drawn_features(aligned_luma(case.rgb, face), face)
                if features is not None:
                    yield Found(case, face, features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stills", type=int, default=4000, help="FER+ images")
    parser.add_argument("--each", type=int, default=200, help="drawings of a style")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    finder = Finder()
    people = list(tqdm(finder.found(real_cases(random, "train", options.stills)), "people", mininterval=10))
    drawings = list(tqdm(finder.found(drawn_cases(random, "train", options.each)), "drawings", mininterval=10))
    features = np.stack([each.features for each in [*people, *drawings]]).astype(np.float64)
    drawn = np.arange(len(features)) >= len(people)
    table, scores = fit(features, drawn)
    options.out.write_text(table, "utf-8")
    print(f"{len(people)} people, {len(drawings)} drawings; {options.out}")
    print(f"people taken for drawings {(scores[~drawn] > 0).mean():.4f}, drawings {(scores[drawn] > 0).mean():.4f}")


def fit(features: Points, drawn: NDArray[np.bool_]) -> tuple[str, Points]:
    """The table as TOML, and the log odds of the cases that it was fitted to."""
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    standard = ((features - mean) / deviation).clip(-CLIP, CLIP)
    model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=5000).fit(standard, drawn)
    rows = {"mean": mean, "deviation": deviation, "weight": model.coef_[0]}
    lines = [f"{name} = [{_wrapped(values)}]" for name, values in rows.items()]
    return "\n".join([_HEADER + f"intercept = {model.intercept_[0]:.5g}", *lines, ""]), model.decision_function(
        standard
    )


def _wrapped(values: Points) -> str:
    numbers = [f"{value:.5g}" if "." in f"{value:.5g}" or "e" in f"{value:.5g}" else f"{value:.1f}" for value in values]
    lines = [", ".join(numbers[start : start + 12]) for start in range(0, len(numbers), 12)]
    return "\n    " + ",\n    ".join(lines) + ",\n"


if __name__ == "__main__":
    main()
