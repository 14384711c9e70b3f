"""MediaPipe's face networks as ONNX: `python -m models.convert.mediapipe`.

Takes the short-range BlazeFace, the 468-point FaceMesh and the iris network out of PyPI's mediapipe 0.10.21 wheel (the
last line that both bundles its models and reports no usage), converts them with tf2onnx in a throwaway environment, and
writes `models/weights/{blazeface,face-mesh,iris}.onnx`. Each is then compared with TensorFlow's own TFLite
interpreter on seeded noise and on a photograph where scikit-image has one; a difference above 1e-3 of the output's
range stops the recipe.

Bazarevsky et al., "BlazeFace" (2019), arXiv:1907.05047; Kartynnik et al., "Real-time Facial Surface Geometry from
Monocular Video on Mobile GPUs" (2019), arXiv:1907.06724; Ablavatski et al., "Real-time Pupil Tracking from Monocular
Video" (2020), arXiv:2006.11341. Weights: The MediaPipe Authors, Apache-2.0.
"""

import hashlib
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from models.convert.tidy import Port, tidy
from models.fetch import wheel_file

MODELS = Path(__file__).resolve().parents[1]
WORK = MODELS.parent / ".cache" / "convert"
WHEEL = ("mediapipe", "0.10.21")
CONVERTER = ("tensorflow-cpu==2.21.0", "tf2onnx==1.17.0", "onnx==1.23.2", "numpy==2.4.6", "protobuf==7.36.2")
OPSET = 17
TOLERANCE = 1e-3
"""Largest accepted difference from TFLite, as a share of the output's range."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One network of the wheel and the ports of its ONNX form."""

    name: str
    member: str
    sha256: str
    side_px: int
    low: float
    """Pixel value 0 as the network sees it; 255 is always 1."""
    outputs: Mapping[str, Port]


RECIPES = (
    Recipe(
        "blazeface",
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        128,
        -1.0,
        {"regressors": Port("boxes", (1, 896, 16)), "classificators": Port("scores", (1, 896), sigmoid=True)},
    ),
    Recipe(
        "face-mesh",
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        192,
        0.0,
        {"conv2d_21": Port("landmarks", (1, 468, 3)), "conv2d_31": Port("presence", (1, 1), sigmoid=True)},
    ),
    Recipe(
        "iris",
        "mediapipe/modules/iris_landmark/iris_landmark.tflite",
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
        64,
        0.0,
        {"output_eyes_contours_and_brows": Port("contour", (1, 71, 3)), "output_iris": Port("iris", (1, 5, 3))},
    ),
)


def main() -> None:
    python = converter_python()
    declared = {table["name"]: table for table in tomllib.loads((MODELS / "manifest.toml").read_text())["model"]}
    for recipe in RECIPES:
        tflite = wheel_file(*WHEEL, recipe.member, recipe.sha256)
        model = convert(recipe, tflite, python)
        difference = parity(recipe, tflite, model, python)
        if difference > TOLERANCE:
            sys.exit(f"{recipe.name}: differs from TFLite by {difference:.2e} of the range, more than {TOLERANCE}")
        data = model.SerializeToString(deterministic=True)
        digest = hashlib.sha256(data).hexdigest()
        (MODELS / "weights" / f"{recipe.name}.onnx").write_bytes(data)
        agrees = "as the manifest says" if declared[recipe.name]["sha256"] == digest else "NOT as the manifest says"
        print(f"{recipe.name}: {len(data)} bytes, parity {difference:.2e} of the range, sha256 {digest} {agrees}")


def converter_python() -> Path:
    """The interpreter of the throwaway environment that holds TensorFlow, made at the first call."""
    python = WORK / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(WORK / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *CONVERTER], check=True)
    return python


def convert(recipe: Recipe, tflite: Path, python: Path) -> onnx.ModelProto:
    """The tidied ONNX form of one TFLite file."""
    raw = WORK / f"{recipe.name}.raw.onnx"
    command = ["-m", "tf2onnx.convert", "--tflite", str(tflite), "--output", str(raw), "--opset", str(OPSET)]
    fixed_order = {**os.environ, "PYTHONHASHSEED": "0"}  # tf2onnx walks sets: without it every run names nodes anew
    subprocess.run([python, *command], check=True, stderr=subprocess.DEVNULL, env=fixed_order)
    return tidy(raw.read_bytes(), "image", recipe.outputs)


def parity(recipe: Recipe, tflite: Path, model: onnx.ModelProto, python: Path) -> float:
    """Largest difference between ONNX Runtime and TFLite over the cases, as a share of each output's range."""
    cases = parity_cases(recipe)
    inputs, outputs = WORK / f"{recipe.name}.inputs.npy", WORK / f"{recipe.name}.outputs.npz"
    np.save(inputs, cases)
    script = Path(__file__).with_name("tflite_reference.py")
    subprocess.run([python, script, tflite, inputs, outputs], check=True, stderr=subprocess.DEVNULL)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected, worst = np.load(outputs), 0.0
    for old, port in recipe.outputs.items():
        reference = expected[old].reshape(len(cases), *port.shape)
        if port.sigmoid:
            reference = 0.5 * (1 + np.tanh(reference / 2))
        got = np.stack([session.run([port.name], {"image": case})[0] for case in cases])
        worst = max(worst, float(np.abs(got - reference).max() / np.ptp(reference)))
    return worst


def parity_cases(recipe: Recipe) -> NDArray[np.float32]:
    """(cases, 1, side, side, 3) in the network's own range: seeded noise and, where there is one, a photograph."""
    side, random = recipe.side_px, np.random.default_rng(20240229)
    cases = [random.random((side, side, 3)) for _ in range(4)]
    try:
        from skimage import data, transform
    except ImportError:
        print("scikit-image is absent: parity on noise alone")
    else:
        face: Any = data.astronaut()  # type: ignore[no-untyped-call]
        resize: Any = transform.resize
        cases += [resize(face[:size, 80 : 80 + size], (side, side)) for size in (256, 300, 380)]
    return (np.stack(cases)[:, None] * (1 - recipe.low) + recipe.low).astype(np.float32)


if __name__ == "__main__":
    main()
