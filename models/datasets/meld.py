"""MELD: utterances of the series Friends with emotion and sentiment (Poria et al., ACL 2019, arXiv:1810.02508).

The one corpus here of spoken dialogue: it teaches the model that plain statements and questions are neutral.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root
from models.datasets.corpus import Corpus, Sample
from models.datasets.layout import known_label, read_rows

LABELS: Final = ("neutral", "joy", "surprise", "sadness", "anger", "disgust", "fear")
SENTIMENTS: Final = ("negative", "neutral", "positive")

TO_BASE: Final = {label: "happiness" if label == "joy" else label for label in LABELS}
"""Native label to base emotion."""


@dataclass(frozen=True, slots=True)
class Meld:
    """One split: `texts` (n), `labels` (n) int64 into LABELS, `sentiments` (n) int64 into SENTIMENTS."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    sentiments: NDArray[np.int64]


def load(split: str) -> Meld:
    """Read `split`: train, dev or test. Raises OSError where the corpus is absent."""
    with (data_root() / "text" / "meld" / f"{split}_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Meld(
        tuple(row["Utterance"] for row in rows),
        np.array([LABELS.index(row["Emotion"]) for row in rows], np.int64),
        np.array([SENTIMENTS.index(row["Sentiment"]) for row in rows], np.int64),
    )


def read(root: Path) -> tuple[Sample, ...]:
    """The utterances of all splits, which are by dialogue: the six friends speak in each of them."""
    fix = "Take data/MELD of github.com/declare-lab/MELD."
    columns = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
    return tuple(
        _sample(row, f"{name}-{row['Dialogue_ID']}-{row['Utterance_ID']}", split)
        for split, name in (("train", "train"), ("valid", "dev"), ("test", "test"))
        for row in read_rows(CORPUS.name, root / f"{name}_sent_emo.csv", columns, fix)
    )


def _sample(row: dict[str, str], name: str, split: str) -> Sample:
    return Sample(
        name=name,
        subject=row["Speaker"],
        label=known_label(CORPUS.name, name, row["Emotion"], LABELS),
        text=row["Utterance"],
        split=split,
        attributes={"language": "en", "sentiment": row["Sentiment"]},
    )


CORPUS: Final = Corpus(
    name="meld",
    modality="text",
    licence="GPL-3.0",
    commercial=True,
    citation="Poria et al., MELD: a multimodal multi-party dataset, ACL 2019, arXiv:1810.02508",
    source="https://github.com/declare-lab/MELD",
    labels=LABELS,
    to_base=TO_BASE,
    read=read,
    folder="text/meld",
)
