"""EmoBank: 10,000 English sentences rated for valence, arousal and dominance (Buechel and Hahn, EACL 2017)."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root
from models.datasets.corpus import Corpus, Sample
from models.datasets.layout import read_rows


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


def read(root: Path) -> tuple[Sample, ...]:
    """All splits; the raters' means as valence, arousal and dominance, no label."""
    fix = "Take corpus/emobank.csv of github.com/JULIELab/EmoBank."
    rows = read_rows(CORPUS.name, root / "emobank.csv", ("id", "split", "V", "A", "D", "text"), fix)
    return tuple(_sample(row) for row in rows)


def _sample(row: dict[str, str]) -> Sample:
    valence, arousal, dominance = ((float(row[axis]) - 3) / 2 for axis in "VAD")
    return Sample(
        row["id"],
        None,
        None,
        text=row["text"],
        vad=(valence, arousal, dominance),
        split="valid" if row["split"] == "dev" else row["split"],
        attributes={"language": "en"},
    )


CORPUS: Final = Corpus(
    name="emobank",
    modality="text",
    licence="CC BY-SA 4.0",
    commercial=True,
    citation="Buechel and Hahn, EmoBank: studying the impact of annotation perspective, EACL 2017",
    source="https://github.com/JULIELab/EmoBank",
    labels=(),
    to_base={},
    read=read,
    folder="text/emobank",
)
