"""GoEmotions: 58,000 Reddit comments with 27 emotions and neutral (Demszky et al., ACL 2020, arXiv:2005.00547)."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root
from models.datasets.corpus import Corpus, Sample
from models.datasets.layout import read_rows

LABELS: Final = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
"""Native labels, in the corpus' own order."""

_EKMAN: Final = {
    "neutral": ("neutral",),
    "happiness": (
        "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love",
        "optimism", "pride", "relief",
    ),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
}  # fmt: skip

TO_BASE: Final = {label: base for base, labels in _EKMAN.items() for label in labels}
"""Native label to base emotion: the paper's Ekman grouping (its appendix), with joy named happiness."""

_AMBIGUOUS: Final = frozenset(_EKMAN["surprise"])

TO_SENTIMENT: Final = {
    label: "neutral" if base == "neutral" else "positive" if base == "happiness" else "negative"
    for label, base in TO_BASE.items()
    if label not in _AMBIGUOUS
}
"""Native label to sentiment, as the paper groups them; its four ambiguous emotions say nothing about sentiment."""


@dataclass(frozen=True, slots=True)
class GoEmotions:
    """One split: `texts` (n), `labels` (n, 28) bool, several may hold at once."""

    texts: tuple[str, ...]
    labels: NDArray[np.bool_]


def load(split: str) -> GoEmotions:
    """Read `split`: train, dev or test. Raises OSError where the corpus is absent."""
    return _decoded(_rows(data_root() / "text" / "goemotions", split))


def read(root: Path) -> tuple[Sample, ...]:
    """All splits; a text of one label carries it, one of several carries votes alone."""
    fix = "Make train.tsv, dev.tsv and test.tsv with the columns text, label and id."
    samples: list[Sample] = []
    for split, name in (("train", "train"), ("valid", "dev"), ("test", "test")):
        rows = read_rows(CORPUS.name, root / f"{name}.tsv", ("text", "label", "id"), fix, "\t")
        for row, votes in zip(rows, _decoded(rows).labels.astype(float).tolist(), strict=True):
            label = LABELS[votes.index(1)] if votes.count(1) == 1 else None
            samples.append(
                Sample(row["id"], None, label, text=row["text"], votes=tuple(votes), split=split, attributes=_ENGLISH)
            )
    return tuple(samples)


def _rows(root: Path, split: str) -> list[dict[str, str]]:
    with (root / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _decoded(rows: list[dict[str, str]]) -> GoEmotions:
    labels = np.zeros((len(rows), len(LABELS)), bool)
    for i, row in enumerate(rows):
        labels[i, [int(number) for number in row["label"].split(",")]] = True
    return GoEmotions(tuple(row["text"] for row in rows), labels)


_ENGLISH: Final = {"language": "en"}

CORPUS: Final = Corpus(
    name="goemotions",
    modality="text",
    licence="Apache-2.0",
    commercial=True,
    citation="Demszky et al., GoEmotions: a dataset of fine-grained emotions, ACL 2020, arXiv:2005.00547",
    source="https://github.com/google-research/google-research/tree/master/goemotions",
    labels=LABELS,
    to_base=TO_BASE,
    read=read,
    folder="text/goemotions",
)
