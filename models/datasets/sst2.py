"""SST-2: phrases of film reviews, negative or positive (Socher et al., EMNLP 2013), split anew by sentence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root
from models.datasets.corpus import Corpus, Sample
from models.datasets.layout import need_file

LABELS: Final = ("negative", "positive")


@dataclass(frozen=True, slots=True)
class Sst2:
    """One split: `texts` (n), `labels` (n) int64, 0 negative and 1 positive."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]


def load(split: str) -> Sst2:
    """Read `split`: train (phrases) or dev (whole sentences). Raises OSError where the corpus is absent."""
    return _load(data_root() / "text" / "sst2", split)


def _load(root: Path, split: str) -> Sst2:
    lines = (root / f"{split}.tsv").read_text("utf-8").split("\n")[1:]
    rows = [line.split("\t") for line in lines if line]
    return Sst2(tuple(text for text, _ in rows), np.array([int(label) for _, label in rows], np.int64))


def longest(corpus: Sst2, count: int) -> Sst2:
    """The `count` phrases with the most words, in their old order: the short ones repeat parts of them."""
    words = np.array([len(text.split()) for text in corpus.texts])
    keep = np.sort(np.argsort(-words, kind="stable")[:count])
    return Sst2(tuple(corpus.texts[i] for i in keep), corpus.labels[keep])


def read(root: Path) -> tuple[Sample, ...]:
    """Train (phrases) and dev (whole sentences), which is `valid` and `test` in turn; sentiment is no base emotion.

    Validation is not carved out of train, whose phrases are parts of one another.
    """
    samples: list[Sample] = []
    for name, splits in (("train", ("train", "train")), ("dev", ("valid", "test"))):
        need_file(CORPUS.name, root / f"{name}.tsv", "Make train.tsv and dev.tsv with the columns sentence and label.")
        data = _load(root, name)
        for i, (text, label) in enumerate(zip(data.texts, data.labels, strict=True)):
            split = splits[i % 2]
            samples.append(
                Sample(f"{name}-{i}", None, LABELS[label], text=text, split=split, attributes={"language": "en"})
            )
    return tuple(samples)


CORPUS: Final = Corpus(
    name="sst2",
    modality="text",
    licence="none stated for the texts; the repository at hand is MIT",
    commercial=False,
    citation="Socher et al., Recursive deep models for semantic compositionality over a sentiment treebank, EMNLP 2013",
    source="https://nlp.stanford.edu/sentiment",
    labels=LABELS,
    to_base={},
    read=read,
    folder="text/sst2",
)
