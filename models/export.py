"""From a trained torch module to a model of the pack: ONNX, parity, precision, weight file, manifest.

publish(module, sample, entry, precision="int8", calibration=batches)
record("voice-whisper", metrics=evaluate())
"""

import hashlib
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import onnx
import onnxruntime
import tomlkit
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from sidecar.inference.manifest import MANIFEST, ModelSpec

PACK: Final = Path(__file__).parent
OPSET: Final = 18
TOLERANCE: Final = 1e-3
"""Largest accepted difference of any output between torch and the FP32 graph."""
UNKNOWN_SHA256: Final = "0" * 64
"""What a new entry says of its file until `publish` has written it."""

Precision = Literal["fp32", "fp16", "int8", "int8-dynamic"]
Feed = Mapping[str, NDArray[Any]]


class ParityError(Exception):
    """The exported graph does not compute what the module computes."""


def publish(
    module: nn.Module,
    sample: Mapping[str, Tensor],
    entry: ModelSpec,
    *,
    precision: Precision = "fp32",
    calibration: Iterable[Feed] = (),
    exclude: Iterable[str] = (),
    pack: Path = PACK,
) -> ModelSpec:
    """Export `module` and put it in the pack; returns the entry with the digest of the file.

    `sample` maps the inputs in the order of the module's arguments; dimensions are free where the entry names them.
    `int8` is static QDQ over `calibration` (feeds as the session takes them), leaving the nodes in `exclude` alone;
    `int8-dynamic` quantises matrix products and tables, and scales activations as they come: it needs no feeds;
    `fp16` stores the weights in half precision, save the constants in `exclude`, and computes in FP32.
    Raises `ParityError`.
    """
    model = to_onnx(module, sample, entry)
    difference = parity(model, module, sample)
    if difference > TOLERANCE:
        raise ParityError(f"{entry.name}: outputs differ by {difference:.2e}, more than {TOLERANCE}")
    if precision == "fp16":
        model = halve_weights(model, exclude)
    elif precision == "int8":
        model = quantise(model, calibration, exclude)
    elif precision == "int8-dynamic":
        model = quantise_dynamically(model, exclude)
    data = model.SerializeToString(deterministic=True)
    (pack / entry.file).parent.mkdir(parents=True, exist_ok=True)
    (pack / entry.file).write_bytes(data)
    entry = msgspec.structs.replace(entry, sha256=hashlib.sha256(data).hexdigest())
    write_entry(entry, pack)
    print(f"{entry.name}: {len(data) / 1e6:.2f} MB {precision}, FP32 parity {difference:.1e}, {entry.sha256}")
    return entry


def to_onnx(module: nn.Module, sample: Mapping[str, Tensor], entry: ModelSpec) -> onnx.ModelProto:
    """The module as an FP32 graph with the ports that the entry declares."""
    sizes = {tensor.name: tensor.shape for tensor in entry.input}
    free = {name: torch.export.Dim(name) for shape in sizes.values() for name in shape if isinstance(name, str)}
    shapes = tuple({i: free[d] for i, d in enumerate(sizes[name]) if isinstance(d, str)} for name in sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module.eval(),
            tuple(sample.values()),
            input_names=list(sample),
            output_names=[tensor.name for tensor in entry.output],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return _without_traces(program.model_proto)


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
    onnx.checker.check_model(model, full_check=True)
    return model


def parity(model: onnx.ModelProto, module: nn.Module, sample: Mapping[str, Tensor]) -> float:
    """Largest absolute difference between ONNX Runtime and torch over all outputs of `sample`."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, {name: value.numpy() for name, value in sample.items()})
    with torch.no_grad():
        expected = module.eval()(*sample.values())
    expected = (expected,) if isinstance(expected, Tensor) else expected
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(got, expected, strict=True))


def halve_weights(model: onnx.ModelProto, exclude: Iterable[str] = (), least: int = 1024) -> onnx.ModelProto:
    """Store FP32 constants of `least` numbers or more as FP16 behind a cast: half the size, the same arithmetic.

    Raises LookupError where a constant in `exclude` is not in the graph.
    """
    whole = set(exclude)
    if missing := whole - {constant.name for constant in model.graph.initializer}:
        raise LookupError(f"the graph has no constants {sorted(missing)}")
    casts = []
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.data_type != TensorProto.FLOAT or values.size < least or constant.name in whole:
            continue
        name, stored = constant.name, f"{constant.name}_fp16"
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # the base is untyped
    """Calibration feeds, in the shape ONNX Runtime's quantiser asks for."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantise(model: onnx.ModelProto, calibration: Iterable[Feed], exclude: Iterable[str] = ()) -> onnx.ModelProto:
    """Static INT8 with QDQ nodes around convolutions and matrix products: weights by channel, signed both ways."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, done = (str(Path(folder) / f"{name}.onnx") for name in ("plain", "ready", "done"))
        onnx.save(model, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            done,
            _Feeds(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(exclude),
        )
        return onnx.load(done)


def quantise_dynamically(model: onnx.ModelProto, exclude: Iterable[str] = ()) -> onnx.ModelProto:
    """Weights of matrix products by channel and of tables as a whole in INT8; activations are scaled at run time.

    Products of two activations stay FP32. Fast on the CPU provider; OpenVINO runs such graphs slower than FP32.
    """
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.value_info[:]  # the quantiser turns weights around, and would meet their old shapes here
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder) / "done.onnx"
        quantize_dynamic(
            plain,
            done,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(exclude),
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(done)


def record(name: str, pack: Path = PACK, **changes: Any) -> ModelSpec:
    """Change keys of an entry, such as `metrics` or `calibration`. Raises LookupError where there is no such model."""
    for spec in _specs(pack):
        if spec.name == name:
            changed = msgspec.structs.replace(spec, **changes)
            write_entry(changed, pack)
            return changed
    raise LookupError(f"{name} is not in {pack / MANIFEST}")


def write_entry(entry: ModelSpec, pack: Path = PACK) -> None:
    """Put the entry in the manifest, in the place of an older one of its name; the rest stays to the letter."""
    path = pack / MANIFEST
    document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    tables = document.setdefault("model", tomlkit.aot())
    places = [i for i, table in enumerate(tables) if table["name"] == entry.name]
    if places:
        tables[places[0]] = _table(entry)
    else:
        tables.append(_table(entry))
    msgspec.toml.decode(tomlkit.dumps(document), type=dict[str, list[ModelSpec]])
    partial = path.with_suffix(".partial")
    partial.write_text(tomlkit.dumps(document), "utf-8")
    partial.rename(path)


def _specs(pack: Path) -> list[ModelSpec]:
    return msgspec.toml.decode((pack / MANIFEST).read_text("utf-8"), type=dict[str, list[ModelSpec]])["model"]


def _table(entry: ModelSpec) -> tomlkit.items.Table:
    """The entry without the keys that stand at their defaults; inner tables on one line each."""
    table = tomlkit.table()
    for field in msgspec.structs.fields(entry):
        value = getattr(entry, field.name)
        if value != field.default:
            table.add(field.name, _item(msgspec.to_builtins(value)))
    table.add(tomlkit.nl())
    return table


def _item(value: Any) -> Any:
    """TOML of a plain value; None is left out, since TOML has none."""
    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        inline.update({key: _item(inner) for key, inner in value.items() if inner is not None})
        return inline
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        array.extend(_item(inner) for inner in value)
        return array.multiline(any(isinstance(inner, dict) for inner in value))
    return value
