"""ONNX Runtime behind `Model`: it takes only what the manifest describes, and prints nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from sidecar.errors import InvariantBroken, PackError
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec, read_manifest
from tests.inference.graphs import FACE, TEXT, VOICE, random_model, save_random_dense_graph, write_manifest


def spec_of(folder: Path, kind: dict[str, Any], **changes: Any) -> ModelSpec:
    write_manifest(folder, random_model(folder, "m", kind, **changes))
    return read_manifest(folder)[0]


def test_the_same_figures_on_every_provider(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, FACE)
    faces = np.random.default_rng(0).integers(0, 256, (3, 1, 48, 48)).astype(np.uint8)
    best = OrtModel(spec, tmp_path / spec.file)
    plain = OrtModel(spec_of(tmp_path, FACE, provider="cpu"), tmp_path / spec.file)
    assert plain.provider == "CPUExecutionProvider"
    if "OpenVINOExecutionProvider" in onnxruntime.get_available_providers():
        assert best.provider == "OpenVINOExecutionProvider"
    ours, theirs = best.run({"face": faces}), plain.run({"face": faces})
    assert ours["logits"].shape == (3, 3)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-3)


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_a_file_that_is_no_graph(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    spec = spec_of(tmp_path, FACE)
    (tmp_path / spec.file).write_bytes(content)
    with pytest.raises(PackError, match=r"m\.onnx.*'m'"):
        OrtModel(spec, tmp_path / spec.file)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({"picture": ("uint8", ["batch", 1, 48, 48])}, {"logits": 3, "embedding": 4}, "'input'.*picture"),
        ({"face": ("float32", ["batch", 1, 48, 48])}, {"logits": 3, "embedding": 4}, "'face' is tensor"),
        ({"face": ("uint8", ["batch", 3, 48, 48])}, {"logits": 3, "embedding": 4}, "'input'.*'face'"),
        ({"face": ("uint8", ["batch", 48, 48])}, {"logits": 3, "embedding": 4}, "'input'.*'face'"),
        ({"face": ("uint8", [1, 1, 48, 48])}, {"logits": 3, "embedding": 4}, "'input'.*'face'"),
        ({"face": ("uint8", ["batch", 1, 48, 48])}, {"logits": 3}, "'output'.*'embedding'"),
        ({"face": ("uint8", ["batch", 1, 48, 48])}, {"logits": 7, "embedding": 4}, "'output'.*'logits'"),
    ],
)
def test_a_graph_of_another_shape(tmp_path: Path, inputs: Any, outputs: dict[str, int], words: str) -> None:
    spec = spec_of(tmp_path, FACE)
    save_random_dense_graph(tmp_path / spec.file, inputs, outputs)
    with pytest.raises(PackError, match=words):
        OrtModel(spec, tmp_path / spec.file)


def test_inputs_that_are_not_as_declared(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, VOICE)
    model = OrtModel(spec, tmp_path / spec.file)
    with pytest.raises(InvariantBroken, match="float32"):
        model.run({"audio": np.zeros((1, 48000))})
    with pytest.raises(InvariantBroken, match="needs 'audio'"):
        model.run({})
    plain = OrtModel(spec_of(tmp_path, VOICE, provider="cpu"), tmp_path / spec.file)
    with pytest.raises(InvariantBroken, match="refused its input"):
        plain.run({"audio": np.zeros((1, 5), np.float32)})


def test_free_dimensions_take_any_number(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, TEXT)
    model = OrtModel(spec, tmp_path / spec.file)
    for batch, tokens in ((1, 3), (4, 17)):
        ones = np.ones((batch, tokens), np.int64)
        assert model.run({"input_ids": ones, "attention_mask": ones})["vad"].shape == (batch, 3)


def test_a_graph_that_an_accelerator_refuses_falls_back_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """OpenVINO does not take an If whose branches differ in rank; the CPU provider does."""
    if "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no accelerated provider")
    spec = spec_of(tmp_path, VOICE)
    _save_graph_with_ranks_that_differ(tmp_path / spec.file)
    model = OrtModel(spec, tmp_path / spec.file)
    assert model.provider == "CPUExecutionProvider"
    assert "does not load on OpenVINOExecutionProvider" in caplog.text
    assert model.run({"audio": np.ones((2, 48000), np.float32)})["logits"].shape == (2, 3)
    assert capfd.readouterr() == ("", "")


def _save_graph_with_ranks_that_differ(path: Path) -> None:
    def branch(name: str, axes: list[int]) -> onnx.GraphProto:
        constant = helper.make_tensor(f"{name}_axes", TensorProto.INT64, [len(axes)], axes)
        node = helper.make_node("Unsqueeze", ["mean", f"{name}_axes"], [name])
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [output], initializer=[constant])

    nodes = [
        helper.make_node("ReduceMean", ["audio", "one"], ["mean"], keepdims=0),
        helper.make_node("ReduceSum", ["mean"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["positive"], to=TensorProto.BOOL),
        helper.make_node(
            "If", ["positive"], ["either"], then_branch=branch("two", [1]), else_branch=branch("three", [1, 2])
        ),
        helper.make_node("Reshape", ["either", "column"], ["flat"]),
        helper.make_node("Tile", ["flat", "three_times"], ["logits"]),
        helper.make_node("Tile", ["flat", "four_times"], ["embedding"]),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1]),
        helper.make_tensor("three_times", TensorProto.INT64, [2], [1, 3]),
        helper.make_tensor("four_times", TensorProto.INT64, [2], [1, 4]),
    ]
    graph = helper.make_graph(
        nodes,
        "ranks",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 48000])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 4]),
        ],
        initializer=constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
