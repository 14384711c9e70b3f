"""The converted networks are the published ones: files, ports and figures, and on demand the whole conversion."""

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from models.convert import silero
from models.convert.tidy import Port, tidy

MODELS = Path(__file__).parents[2] / "models"
CONVERTED = ("blazeface", "face-mesh", "iris", "silero-vad")

# What TensorFlow 2.21's TFLite interpreter says of `noise(side, low)`: some values of each output, then its mean.
TFLITE: dict[tuple[str, str], list[float]] = {
    ("blazeface", "boxes"): [1.28996, -6.36278, -1.32643, 0.33999, -18.54107, 2.71047, 6.69876],
    ("blazeface", "scores"): [0.02115, 0.0322, 0.00685, 0.03361, 0.06203, 0.48429, 0.08129],
    ("face-mesh", "landmarks"): [103.48051, 75.73814, 44.338, 29.58262, 106.47681, 124.30775, 65.88307],
    ("face-mesh", "presence"): [1e-05, 1e-05],
    ("iris", "contour"): [20.01697, 1.10235, 39.60428, 23.54917, -7.40835, 52.12557, 21.61856],
    ("iris", "iris"): [30.1151, -12.618, 37.24607, 29.76376, -12.55588, 38.44025, 18.50047],
}


def table(name: str) -> dict[str, Any]:
    manifest = tomllib.loads((MODELS / "manifest.toml").read_text())
    (found,) = [entry for entry in manifest["model"] if entry["name"] == name]
    return dict(found)


def session(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(MODELS / table(name)["file"]), providers=["CPUExecutionProvider"])


def noise(side: int, low: float) -> np.ndarray:
    """(1, side, side, 3) float32 in low..1, the same everywhere: smooth waves, not a generator's stream."""
    y, x, c = np.mgrid[0:side, 0:side, 0:3].astype(np.float64)
    wave = 0.5 + 0.25 * np.sin(x / 7 + c) + 0.25 * np.cos(y / 5 - 2 * c)
    return (wave * (1 - low) + low).astype(np.float32)[None]


@pytest.mark.parametrize("name", CONVERTED)
def test_the_weights_are_those_of_the_manifest(name: str) -> None:
    entry = table(name)
    assert hashlib.sha256((MODELS / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


@pytest.mark.parametrize(("name", "output"), TFLITE)
def test_the_figures_are_those_of_tflite(name: str, output: str) -> None:
    side = table(name)["input"][0]["shape"][1]
    low = -1.0 if name == "blazeface" else 0.0
    got = session(name).run([output], {"image": noise(side, low)})[0].astype(np.float64).ravel()
    picked = [*got[:: max(1, len(got) // 6)][:6], got.mean()]
    np.testing.assert_allclose(picked, TFLITE[name, output], rtol=1e-3, atol=1e-3)


def test_one_call_of_the_speech_gate_says_what_calls_window_by_window_say() -> None:
    windows, model = silero.parity_windows(40), session("silero-vad")
    start = np.zeros((2, 1, 128), np.float32)
    at_once, last = model.run(None, {"input": windows, "state": start})
    single, state = [], start
    for window in windows:
        probability, state = model.run(None, {"input": window[None], "state": state})
        single.append(probability[0])
    np.testing.assert_allclose(at_once, single, atol=1e-5)
    np.testing.assert_allclose(last, state, atol=1e-4)
    assert np.ptp(at_once) > 0.5, "the windows should hold both speech and silence"


def test_tidying_names_ports_and_applies_the_sigmoid_whatever_the_converter_called_things() -> None:
    def converted(inner: str) -> bytes:
        nodes = [
            helper.make_node("Mul", ["x", f"{inner}_c"], [inner], name=f"mul_{inner}"),
            helper.make_node("Add", [inner, inner], ["y"]),
        ]
        float_ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
        constant = helper.make_tensor(f"{inner}_c", TensorProto.FLOAT, [1], [2.0])
        graph = helper.make_graph(nodes, inner, float_ports[:1], float_ports[1:], [constant])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(model.SerializeToString())

    first, second = (tidy(converted(inner), "image", {"y": Port("p", (2, 1), sigmoid=True)}) for inner in ("a", "b"))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    run = onnxruntime.InferenceSession(first.SerializeToString(), providers=["CPUExecutionProvider"])
    (p,) = run.run(["p"], {"image": np.array([[0.0, 1.0]], np.float32)})
    np.testing.assert_allclose(p, [[0.5], [1 / (1 + np.exp(-4.0))]], rtol=1e-6)


@pytest.mark.recipe
def test_the_face_recipe_makes_the_committed_files() -> None:
    from models.convert import mediapipe

    recipe = next(recipe for recipe in mediapipe.RECIPES if recipe.name == "blazeface")
    tflite = mediapipe.wheel_file(*mediapipe.WHEEL, recipe.member, recipe.sha256)
    model = mediapipe.convert(recipe, tflite, mediapipe.converter_python())
    assert onnx.load(MODELS / table("blazeface")["file"]) == model
