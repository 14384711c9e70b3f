"""What precisions are made from and judged on: inputs of an encoder, and the right answers to some."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.precision import Feed
from sidecar.inference.encoder import Model


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs of one encoder."""

    inputs: Mapping[str, NDArray[Any]]
    """By name, each (examples, ...)."""
    batch: int = 32
    """Examples in one call; 1 where neighbours alter the figures, as under dynamic quantisation of text."""

    def feeds(self) -> Iterator[Feed]:
        """The examples in batches, in their order."""
        count = max((len(values) for values in self.inputs.values()), default=0)
        for start in range(0, count, self.batch):
            yield {name: values[start : start + self.batch] for name, values in self.inputs.items()}


@dataclass(frozen=True, slots=True)
class Validation:
    """Inputs with their right answers; no training example among them."""

    examples: Examples
    labels: NDArray[np.int64]
    """(examples,) numbers of the right logits."""

    def accuracy(self, model: Model) -> float:
        """Share of the examples whose largest logit is the right one."""
        logits = np.concatenate([model.run(feed)["logits"] for feed in self.examples.feeds()])
        return float((logits.argmax(1) == self.labels).mean())
