"""The models alone, called as often as a pipeline called them: ONNX Runtime and nothing around it."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.config import Settings
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.inference.pack import load_pack
from sidecar.sources.livekit.taps import CHUNK_MS

_SIZES: Final = {"windows": CHUNK_MS // 32, "tokens": 12}
"""Of the axes that a graph leaves open: the speech gate reads 32 ms at a step, a short sentence has twelve tokens."""


@dataclass(frozen=True, slots=True)
class Calls:
    """How often a model is called."""

    a_second: float
    units: float
    """Mean size of a batch."""


def load(settings: Settings, names: Iterable[str]) -> dict[str, OrtModel]:
    """Those models of the pack, as the sidecar runs them. Raises `PackError`."""
    pack = load_pack(settings.models, settings.tree.engines.licence)
    specs = [pack.models[name] for name in names]
    return {spec.name: OrtModel(spec, pack.path(spec), settings.tree.engines.threads) for spec in specs}


class BareModel:
    """One model called at an even pace in a thread of its own, which the kernel shows by the model's name."""

    def __init__(self, model: OrtModel, calls: Calls) -> None:
        self.cpu_s = 0.0
        """CPU time of the calls, warming up not included."""
        self.calls = 0
        self.name = model.spec.name
        self._model = model
        self._plan = calls
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"model-{self.name}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        least = int(self._plan.units)
        inputs = {size: _inputs(self._model.spec, size) for size in (least, least + 1)}
        for warming in inputs.values():
            self._model.run(warming)
        begun_s = time.monotonic()
        while not self._end.wait(max(0.0, begun_s + self.calls / self._plan.a_second - time.monotonic())):
            size = int((self.calls + 1) * self._plan.units) - int(self.calls * self._plan.units)
            before_s = time.thread_time()
            self._model.run(inputs[size])
            self.cpu_s += time.thread_time() - before_s
            self.calls += 1


def _inputs(spec: ModelSpec, batch: int) -> dict[str, NDArray[Any]]:
    """Numbers without meaning: a call takes as long, whatever the values."""
    sizes = {**_SIZES, "batch": batch}
    arrays: dict[str, NDArray[Any]] = {}
    for tensor in spec.input:
        shape = [axis if isinstance(axis, int) else sizes[axis] for axis in tensor.shape]
        values = np.random.default_rng(0).random(shape) if tensor.type.startswith("float") else np.ones(shape)
        arrays[tensor.name] = values.astype(tensor.type)
    return arrays
