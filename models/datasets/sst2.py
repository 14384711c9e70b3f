"""SST-2: phrases of film reviews, negative or positive (Socher et al., EMNLP 2013), split anew by sentence."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root

LABELS: Final = ("negative", "positive")


@dataclass(frozen=True, slots=True)
class Sst2:
    """One split: `texts` (n), `labels` (n) int64, 0 negative and 1 positive."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]


def load(split: str) -> Sst2:
    """Read `split`: train (phrases) or dev (whole sentences). Raises OSError where the corpus is absent."""
    lines = (data_root() / "text" / "sst2" / f"{split}.tsv").read_text("utf-8").split("\n")[1:]
    rows = [line.split("\t") for line in lines if line]
    return Sst2(tuple(text for text, _ in rows), np.array([int(label) for _, label in rows], np.int64))


def longest(corpus: Sst2, count: int) -> Sst2:
    """The `count` phrases with the most words, in their old order: the short ones repeat parts of them."""
    words = np.array([len(text.split()) for text in corpus.texts])
    keep = np.sort(np.argsort(-words, kind="stable")[:count])
    return Sst2(tuple(corpus.texts[i] for i in keep), corpus.labels[keep])
