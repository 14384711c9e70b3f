"""MELD: utterances of the series Friends with emotion and sentiment (Poria et al., ACL 2019, arXiv:1810.02508).

The one corpus here of spoken dialogue: it teaches the model that plain statements and questions are neutral.
"""

import csv
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root

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
