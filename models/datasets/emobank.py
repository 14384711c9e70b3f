"""EmoBank: 10,000 English sentences rated for valence, arousal and dominance (Buechel and Hahn, EACL 2017)."""

import csv
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root


@dataclass(frozen=True, slots=True)
class EmoBank:
    """One split: `texts` (n), `vad` (n, 3) float32, valence, arousal and dominance, each scaled to -1..1."""

    texts: tuple[str, ...]
    vad: NDArray[np.float32]


def load(split: str) -> EmoBank:
    """Read `split`: train, dev or test. Raises OSError where the corpus is absent.

    The raters' scale of 1 to 5 with 3 as the middle becomes -1 to 1: (x - 3) / 2.
    """
    with (data_root() / "text" / "emobank" / "emobank.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    ratings = np.array([[float(row[axis]) for axis in "VAD"] for row in rows], np.float32)
    return EmoBank(tuple(row["text"] for row in rows), (ratings - 3.0) / 2.0)
