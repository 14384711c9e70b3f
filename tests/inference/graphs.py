"""Tiny graphs with random weights and packs made of them, of the encoders' true contracts."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tomlkit
from onnx import TensorProto, helper, numpy_helper

TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}
WIDTH = 4


def save_random_dense_graph(
    path: Path, inputs: dict[str, tuple[str, list[int | str]]], outputs: dict[str, int], seed: int = 7
) -> None:
    """Every output is a random projection of the first input's mean and mean square over all but the batch."""
    random = np.random.default_rng(seed)
    first, (_, shape) = next(iter(inputs.items()))
    axes = list(range(1, len(shape)))
    nodes = [
        helper.make_node("Cast", [first], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["power"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["mean1"]),
        helper.make_node("Unsqueeze", ["power", "one"], ["power1"]),
        helper.make_node("Concat", ["mean1", "power1"], ["features"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array(axes, dtype=np.int64), "axes"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
    ]
    for name, width in outputs.items():
        weights = random.normal(size=(2, width)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"{name}_weights"))
        nodes.append(helper.make_node("MatMul", ["features", f"{name}_weights"], [name]))
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info(name, TYPES[kind], shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name, width in outputs.items()],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


FACE: dict[str, Any] = {"modality": "face", "inputs": {"face": ("uint8", ["batch", 1, 48, 48])}, "outputs": {}}
VOICE: dict[str, Any] = {"modality": "voice", "inputs": {"audio": ("float32", ["batch", 48000])}, "outputs": {}}
TEXT: dict[str, Any] = {
    "modality": "text",
    "inputs": {"input_ids": ("int64", ["batch", "tokens"]), "attention_mask": ("int64", ["batch", "tokens"])},
    "outputs": {"sentiment": 2, "vad": 3},
}
LABELS = ["happy", "sad", "calm"]
MAP = {"happy": "happiness", "sad": "sadness", "calm": "neutral"}


def random_model(folder: Path, name: str, kind: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Save a random graph of one contract and return its table of the manifest."""
    outputs = {"logits": len(LABELS), "embedding": WIDTH, **kind["outputs"]}
    file = f"weights/{name}.onnx"
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    save_random_dense_graph(folder / file, kind["inputs"], outputs)
    table = {
        "name": name,
        "version": "0",
        "modality": kind["modality"],
        "role": "encoder",
        "file": file,
        "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest(),
        "source": "repository",
        "recipe": "none",
        "licence": "Apache-2.0",
        "commercial": True,
        "trained_on": ["nothing"],
        "input": [{"name": n, "shape": s, "type": t, "units": "any"} for n, (t, s) in kind["inputs"].items()],
        "output": [{"name": n, "shape": ["batch", w], "units": "any"} for n, w in outputs.items()],
        "preprocess": "none",
        "labels": LABELS,
        "map": MAP,
    }
    return {key: value for key, value in {**table, **changes}.items() if value is not None}


def write_manifest(folder: Path, *models: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.toml").write_text(tomlkit.dumps({"model": list(models)}), "utf-8")
