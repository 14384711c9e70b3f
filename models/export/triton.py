"""A model repository for Triton, generated from a pack: DIR/NAME/config.pbtxt and DIR/NAME/1/model.onnx.

The fields are those of Triton's `model_config.proto` (triton-inference-server/common). Graphs whose first dimension is
free and called `batch` are batched by the server over all callers; the others keep their shape, and dynamically
quantised ones serve one unit at a time, since neighbours would alter its figures.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import onnx

from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec
from sidecar.inference.pack import Pack
from sidecar.types import Options

BATCH: Final = "batch"
_TYPES: Final = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "uint8": "TYPE_UINT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "bool": "TYPE_BOOL",
}


class TritonOptions(Options, frozen=True):
    """How the server batches and where it runs."""

    max_batch: Annotated[int, msgspec.Meta(ge=1)] = 64
    preferred: tuple[int, ...] = (4, 8, 16, 32)
    """Batch sizes at which the server waits for no more."""
    max_delay_ms: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    """The longest that a unit waits for others."""
    instances: Annotated[int, msgspec.Meta(ge=1)] = 1
    gpu: bool = True
    """False serves on processors only. Models whose manifest asks for the plain provider stay there anyway."""


def write_repository(pack: Pack, folder: Path, options: TritonOptions) -> list[Path]:
    """Every model of the pack, as Triton loads it; returns the configurations' paths. Older ones are replaced."""
    paths = []
    for spec in pack.models.values():
        version = folder / spec.name / "1"
        version.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pack.path(spec), version / "model.onnx")
        if spec.labels:
            (folder / spec.name / "labels.txt").write_text("\n".join(spec.labels) + "\n", "utf-8")
        paths.append(folder / spec.name / "config.pbtxt")
        graph = onnx.load(pack.path(spec), load_external_data=False).graph
        alone = any(node.op_type == "DynamicQuantizeLinear" for node in graph.node)
        fitting = msgspec.structs.replace(options, max_batch=1) if alone else options
        paths[-1].write_text(configuration(spec, output_types(graph), fitting), "utf-8")
    return paths


def output_types(graph: onnx.GraphProto) -> dict[str, str]:
    """Triton's type of each output; the manifest leaves them out, since the graph has them."""
    kinds = {output.name: output.type.tensor_type.elem_type for output in graph.output}
    return {name: _TYPES[str(onnx.helper.tensor_dtype_to_np_dtype(kind))] for name, kind in kinds.items()}


def is_batched(spec: ModelSpec) -> bool:
    """Whether callers' units may share a call: the first dimension of every port is `batch`."""
    ports: list[InputSpec | OutputSpec] = [*spec.input, *spec.output]
    return all(port.shape[:1] == (BATCH,) for port in ports)


def configuration(spec: ModelSpec, outputs: dict[str, str], options: TritonOptions) -> str:
    """`config.pbtxt` of one model, in protobuf's text format."""
    batched = is_batched(spec)
    lines = [
        f'name: "{spec.name}"',
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {options.max_batch if batched else 0}",
        *_ports("input", [_input(port, batched) for port in spec.input]),
        *_ports("output", [_output(port, outputs[port.name], batched, bool(spec.labels)) for port in spec.output]),
    ]
    if batched and options.max_batch > 1:
        preferred = ", ".join(str(size) for size in options.preferred if size <= options.max_batch)
        delay_us = round(options.max_delay_ms * 1000)
        lines.append(
            f"dynamic_batching {{ preferred_batch_size: [{preferred}] max_queue_delay_microseconds: {delay_us} }}"
        )
    kind = "KIND_GPU" if options.gpu and spec.provider != "cpu" else "KIND_CPU"
    lines.append(f"instance_group [ {{ count: {options.instances} kind: {kind} }} ]")
    return "\n".join(lines) + "\n"


def _ports(field: str, ports: Sequence[str]) -> list[str]:
    inner = ",\n".join(f"  {{ {port} }}" for port in ports)
    return [f"{field} [", inner, "]"]


def _input(port: InputSpec, batched: bool) -> str:
    return f'name: "{port.name}" data_type: {_TYPES[port.type]} dims: [{_dims(port, batched)}]'


def _output(port: OutputSpec, kind: str, batched: bool, labelled: bool) -> str:
    labels = ' label_filename: "labels.txt"' if labelled and port.name == "logits" else ""
    return f'name: "{port.name}" data_type: {kind} dims: [{_dims(port, batched)}]{labels}'


def _dims(port: InputSpec | OutputSpec, batched: bool) -> str:
    """A free dimension is -1; that of the batch is the server's own."""
    shape = port.shape[1:] if batched else port.shape
    return ", ".join(str(size) if isinstance(size, int) else "-1" for size in shape)
