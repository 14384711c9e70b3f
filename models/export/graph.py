"""From a torch module to an FP32 graph, and how far the two are apart."""

import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sidecar.inference.manifest import ModelSpec

OPSET: Final = 18
TOLERANCE: Final = 1e-3
"""Largest accepted difference of any output between torch and the FP32 graph."""
_PORT: Final = "port."
"""Before the outputs' names while exporting: modules of their names (`embedding`) would clash with them."""


class ParityError(Exception):
    """The exported graph does not compute what the module computes, or a smaller precision loses too much."""


def to_onnx(
    module: nn.Module, sample: Mapping[str, Tensor], entry: ModelSpec, *, optimise: bool = True
) -> onnx.ModelProto:
    """The module as an FP32 graph with the ports that the entry declares; dimensions are free where it names them."""
    sizes = {tensor.name: tensor.shape for tensor in entry.input}
    free = {name: torch.export.Dim(name) for shape in sizes.values() for name in shape if isinstance(name, str)}
    shapes = tuple({i: free[d] for i, d in enumerate(sizes[name]) if isinstance(d, str)} for name in sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module.eval(),
            tuple(sample.values()),
            input_names=list(sample),
            output_names=[_PORT + tensor.name for tensor in entry.output],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=optimise,
        )
    assert program is not None
    return _named(_without_traces(program.model_proto))


def parity(model: onnx.ModelProto, module: nn.Module, sample: Mapping[str, Tensor]) -> float:
    """Largest absolute difference between ONNX Runtime and torch over all outputs of `sample`."""
    with torch.no_grad():
        expected = module.eval()(*sample.values())
    expected = (expected,) if isinstance(expected, Tensor) else expected
    got = run(model, {name: value.numpy() for name, value in sample.items()})
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(got.values(), expected, strict=True))


def run(model: onnx.ModelProto, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Outputs by name under ONNX Runtime's own CPU provider."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feed)), strict=True))


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes of source lines and paths: it would differ from machine to machine."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    del graph.metadata_props[:]
    parts: list[Any] = [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the outputs their own names; an inner value that has one of them steps aside."""
    graph = model.graph
    taken = {output.name: output.name.removeprefix(_PORT) for output in graph.output}
    taken |= {name: f"{name}.inner" for name in taken.values()}
    parts: list[Any] = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in parts:
        part.name = taken.get(part.name, part.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [taken.get(name, name) for name in ends]
    onnx.checker.check_model(model, full_check=True)
    return model
