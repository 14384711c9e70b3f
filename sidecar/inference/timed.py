"""Measures the calls of a model that no batcher measures."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from prometheus_client import Histogram

from sidecar.inference.encoder import Model


class Timed:
    """A `Model` whose calls are observed in seconds."""

    def __init__(self, model: Model, seconds: Histogram) -> None:
        self._model = model
        self._seconds = seconds

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        with self._seconds.time():
            return self._model.run(inputs)
