"""Give a converted graph the pack's port names, shapes and activations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper


@dataclass(frozen=True, slots=True)
class Port:
    """An output of the finished graph."""

    name: str
    shape: tuple[int, ...]
    """Shape after tidying, batch included."""
    sigmoid: bool = False
    """True where the network emits a logit and the pack publishes a probability."""


def tidy(graph_bytes: bytes, image_name: str, outputs: Mapping[str, Port]) -> onnx.ModelProto:
    """The same network with its input called `image_name` and its outputs as in `outputs` (old name to new port)."""
    model = onnx.load_from_string(graph_bytes)
    graph = model.graph
    _rename_input(graph, image_name)
    ports = []
    for old in list(graph.output):
        port = outputs[old.name]
        ports.append(helper.make_tensor_value_info(port.name, onnx.TensorProto.FLOAT, port.shape))
        graph.node.extend(_tail(graph, old.name, port))
    del graph.output[:]
    graph.output.extend(ports)
    graph.name = image_name
    _number(graph)
    model.producer_name, model.producer_version = "", ""
    del model.metadata_props[:]
    model.doc_string, graph.doc_string = "", ""
    used = {node.domain for node in graph.node} | {""}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)
    onnx.checker.check_model(model, full_check=True)
    return model


def _number(graph: onnx.GraphProto) -> None:
    """Name every inner tensor and constant by its place: the converter's names differ from run to run."""
    ports = {value.name for value in (*graph.input, *graph.output)}
    constants = {constant.name: constant for constant in graph.initializer}
    names = {"": ""}
    for node in graph.node:
        node.name, node.doc_string = "", ""
        for values in (node.input, node.output):
            for position, old in enumerate(values):
                values[position] = names.setdefault(old, old if old in ports else f"t{len(names)}")
    del graph.initializer[:]
    for old, new in names.items():
        if old in constants:
            constants[old].name = new
            graph.initializer.append(constants[old])
    del graph.value_info[:]


def _rename_input(graph: onnx.GraphProto, name: str) -> None:
    (source,) = graph.input
    old, source.name = source.name, name
    for node in graph.node:
        for position, value in enumerate(node.input):
            if value == old:
                node.input[position] = name


def _tail(graph: onnx.GraphProto, old: str, port: Port) -> Sequence[onnx.NodeProto]:
    """Reshape to the port's shape, then the activation where one is asked for."""
    shape_name = f"{port.name}_shape"
    graph.initializer.append(numpy_helper.from_array(np.array(port.shape, np.int64), shape_name))
    flat = f"{port.name}_logit" if port.sigmoid else port.name
    nodes = [helper.make_node("Reshape", [old, shape_name], [flat])]
    if port.sigmoid:
        nodes.append(helper.make_node("Sigmoid", [flat], [port.name]))
    return nodes
