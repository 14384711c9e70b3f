"""Models on this machine, through ONNX Runtime. The only importer of onnxruntime."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from sidecar.errors import InferenceFailed, InvariantBroken, PackError
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec

_log = logging.getLogger(__name__)

_CPU: Final = "CPUExecutionProvider"
_FATAL: Final = 4  # ONNX Runtime's severity: failures reach us as exceptions, so nothing need be printed
_OPENVINO: Final = {
    "device_type": "CPU",
    "num_streams": "1",  # with num_of_threads, keeps its pool from taking every core
    "precision": "FP32",  # never bfloat16 where a CPU has it: figures are those of the evaluation
}
_ORT_TYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
_LOAD_ERRORS: Final = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)
_RUN_ERRORS: Final = (ort_errors.EPFail, ort_errors.Fail, ort_errors.RuntimeException, RuntimeError)


class OrtModel:
    """One graph in one session. Blocking; not to be called from two threads at once."""

    def __init__(self, spec: ModelSpec, path: Path, threads: int = 1) -> None:
        """Load the graph on the fastest provider that takes it.

        Raises `PackError` where the file is no graph or not of the shapes and types the manifest declares.
        """
        self._spec = spec
        self._types = {tensor.name: np.dtype(tensor.type) for tensor in spec.input}
        self._session = _open(spec, path, threads)
        self._outputs = [tensor.name for tensor in spec.output]
        _check(spec, path, self._session)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the provider that was chosen."""
        return str(self._session.get_providers()[0])

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Outputs by name for one batch of inputs by name.

        Raises `InvariantBroken` for inputs that are not as declared, `InferenceFailed` where the runtime fails.
        """
        for name, dtype in self._types.items():
            if name not in inputs or inputs[name].dtype != dtype:
                raise InvariantBroken(f"model {self._spec.name!r} needs {name!r} as {dtype}")
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except (ort_errors.InvalidArgument, ValueError) as error:
            raise InvariantBroken(f"model {self._spec.name!r} refused its input: {error}") from error
        except _RUN_ERRORS as error:
            raise InferenceFailed(f"model {self._spec.name!r} failed: {error}") from error
        return dict(zip(self._outputs, values, strict=True))


def _open(spec: ModelSpec, path: Path, threads: int) -> ort.InferenceSession:
    ort.disable_telemetry_events()
    ort.set_default_logger_severity(_FATAL)
    for provider, options in _candidates(spec, threads):
        try:
            session = _session(path, provider, options, threads)
        except _LOAD_ERRORS as error:
            if provider == _CPU:
                raise PackError(f"{path}: cannot be loaded (model {spec.name!r}): {_short(error)}") from error
            _log.warning("model %s does not load on %s, trying the next: %s", spec.title, provider, _short(error))
            continue
        if session.get_providers()[0] == provider:
            _log.info("model %s runs on %s", spec.title, provider)
            return session
        _log.warning("model %s was refused by %s, trying the next", spec.title, provider)
    raise PackError(f"{path}: no execution provider of this onnxruntime takes it (model {spec.name!r})")


def _candidates(spec: ModelSpec, threads: int) -> list[tuple[str, dict[str, str]]]:
    """Providers with their options, best first."""
    wanted: list[tuple[str, dict[str, str]]] = []
    if spec.provider == "auto":
        wanted.append(("CUDAExecutionProvider", {}))
        wanted.append(("OpenVINOExecutionProvider", {**_OPENVINO, "num_of_threads": str(threads)}))
    available = ort.get_available_providers()
    return [*((name, options) for name, options in wanted if name in available), (_CPU, {})]


def _session(path: Path, provider: str, options: dict[str, str], threads: int) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _FATAL
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without enable_fallback=0 the Python wrapper prints to standard output and retries by itself.
    return ort.InferenceSession(str(path), settings, providers=[(provider, options)], enable_fallback=0)


def _short(error: BaseException) -> str:
    """The last telling line of a runtime's message, which can run over many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][-300:] if lines else type(error).__name__


def _check(spec: ModelSpec, path: Path, session: ort.InferenceSession) -> None:
    """Compare the graph with the manifest. Raises `PackError` naming the key."""
    where = f"{path}: model {spec.name!r}"
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    if set(inputs) != {tensor.name for tensor in spec.input}:
        raise PackError(f"{where}, key 'input': the graph has {sorted(inputs)}; correct the manifest or the file")
    for tensor in spec.input:
        node = inputs[tensor.name]
        if _ORT_TYPES.get(node.type, node.type) != tensor.type:
            raise PackError(f"{where}, key 'input': {tensor.name!r} is {node.type} in the graph, not {tensor.type}")
        _check_shape(f"{where}, key 'input'", tensor, node.shape)
    for declared in spec.output:
        if declared.name not in outputs:
            raise PackError(f"{where}, key 'output': the graph has {sorted(outputs)}, not {declared.name!r}")
        _check_shape(f"{where}, key 'output'", declared, outputs[declared.name].shape)


def _check_shape(where: str, declared: InputSpec | OutputSpec, graph: list[int | str | None]) -> None:
    """A graph's fixed dimension must be declared as that number; in an output a name may stand for it."""
    by_name = isinstance(declared, OutputSpec)
    fits = len(graph) == len(declared.shape) or not graph  # no shape at all: the graph does not say
    for ours, theirs in zip(declared.shape, graph, strict=False):
        fits = fits and (not isinstance(theirs, int) or ours == theirs or (by_name and isinstance(ours, str)))
    if not fits:
        raise PackError(f"{where}: {declared.name!r} is {graph} in the graph, not {list(declared.shape)}")
