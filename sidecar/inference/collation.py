"""How the rows of several units become one batch, and the batch's outputs rows again."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class Collation(Protocol):
    """Puts rows together for one call."""

    def collate(self, rows: Sequence[Arrays]) -> Arrays:
        """One batch out of the inputs of one or more units."""
        ...

    def split(self, outputs: Arrays, count: int) -> Sequence[Arrays]:
        """The outputs of each of the `count` units."""
        ...


class Stacked:
    """Rows of one shape, put on a new batch axis."""

    def collate(self, rows: Sequence[Arrays]) -> Arrays:
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def split(self, outputs: Arrays, count: int) -> Sequence[Arrays]:
        return [{name: value[index] for name, value in outputs.items()} for index in range(count)]


class Padded(Stacked):
    """One-dimensional rows of different lengths, filled with zeros to that of the longest.

    A `multiple` above 1 keeps the number of different shapes small, for runtimes that prepare each shape anew. In a
    graph with dynamic quantisation padding and neighbours alter the scales, and so a unit's figures a little (argmax
    of 2-4 % of MELD's utterances, text-minilm 0.1.0): give such a model a batcher of size 1.
    """

    def __init__(self, multiple: int = 1) -> None:
        self._multiple = multiple

    def collate(self, rows: Sequence[Arrays]) -> Arrays:
        longest = max(len(value) for row in rows for value in row.values())
        width = max(1, -(-longest // self._multiple)) * self._multiple
        return {name: np.stack([np.pad(row[name], (0, width - len(row[name]))) for row in rows]) for name in rows[0]}


class Whole:
    """One unit is a whole batch by itself (its own axis 0), for a batcher of size 1."""

    def collate(self, rows: Sequence[Arrays]) -> Arrays:
        (row,) = rows
        return row

    def split(self, outputs: Arrays, count: int) -> Sequence[Arrays]:
        return [outputs] * count
