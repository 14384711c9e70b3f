"""Smaller precisions of an FP32 graph."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

Precision = Literal["fp32", "fp16", "int8", "int8-dynamic"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
PORTABLE: Final[tuple[Precision, ...]] = ("fp32", "fp16")
"""What a GPU runs as well as a processor. Static INT8 as made here has unsigned activations, which TensorRT refuses;
dynamic INT8 scales a whole batch alike, so that another person's face would alter what is said of one."""
Feed = Mapping[str, NDArray[Any]]
"""Inputs by name, as a session takes them."""


def convert(
    model: onnx.ModelProto, precision: Precision, calibration: Iterable[Feed] = (), whole: Iterable[str] = ()
) -> onnx.ModelProto:
    """A copy of the FP32 graph in another precision; the constants named in `whole` stay as they are.

    `int8` is static QDQ over `calibration`; `int8-dynamic` quantises matrix products and tables and scales activations
    as they come; `fp16` stores the weights in half precision and computes in FP32. Raises LookupError where a constant
    of `whole` is not in the graph.
    """
    exclude = frozenset(whole)
    if missing := exclude - {constant.name for constant in model.graph.initializer}:
        raise LookupError(f"the graph has no constants {sorted(missing)}")
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    makers: Mapping[Precision, Callable[[], onnx.ModelProto]] = {
        "fp32": lambda: plain,
        "fp16": lambda: halve_weights(plain, exclude),
        "int8": lambda: quantise(plain, calibration, exclude),
        "int8-dynamic": lambda: quantise_dynamically(plain, exclude),
    }
    return makers[precision]()


def halve_weights(model: onnx.ModelProto, whole: frozenset[str] = frozenset(), least: int = 1024) -> onnx.ModelProto:
    """Store FP32 constants of `least` numbers or more as FP16 behind a cast: half the size, the same arithmetic.

    Changes `model`; the constants in `whole` stay.
    """
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


def quantise(
    model: onnx.ModelProto, calibration: Iterable[Feed], whole: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Static INT8 with QDQ nodes around convolutions and matrix products.

    Weights are signed, by channel; activations unsigned, which x86 multiplies with them in one step (VNNI), twice
    as fast as both signed. Products with the constants in `whole` stay FP32.
    """
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
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_readers(model, whole),
        )
        return onnx.load(done)


def quantise_dynamically(model: onnx.ModelProto, whole: frozenset[str] = frozenset()) -> onnx.ModelProto:
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
            nodes_to_exclude=_readers(model, whole),
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(done)


def _readers(model: onnx.ModelProto, constants: frozenset[str]) -> list[str]:
    """Names of the nodes that read one of the constants, and what the dynamic quantiser calls a Gemm that it splits."""
    names = [node.name for node in model.graph.node if constants.intersection(node.input)]
    return [*names, *(f"{name}_MatMul" for name in names)]
