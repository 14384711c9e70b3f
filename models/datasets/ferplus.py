"""FER+: FER2013 faces, 48x48 grey, with ten people's votes an image (Barsoum et al., ICMI 2016).

Exact duplicates between the splits are removed. The corpus names no subjects, so one person may stand in several
splits and no figure on it is independent of the subject.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root
from models.datasets.corpus import Corpus, Sample
from models.datasets.layout import need_file

LABELS: Final = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The first eight vote columns, in order; two more say `unknown` and `not a face`."""


@dataclass(frozen=True, slots=True)
class FerPlus:
    """One split.

    `images` (n, 48, 48) uint8, luma 0-255; `votes` (n, 10) uint8, the columns of `LABELS`, unknown, not a face.
    """

    images: NDArray[np.uint8]
    votes: NDArray[np.uint8]

    def labelled(self) -> "FerPlus":
        """Only images whose most frequent vote, the first of equals, is one of the eight emotions."""
        keep = self.votes.argmax(1) < len(LABELS)
        return FerPlus(self.images[keep], self.votes[keep])

    def labels(self) -> NDArray[np.int64]:
        """(n,) the emotion with most votes, the first of equals: an index into `LABELS`."""
        labels: NDArray[np.int64] = self.votes[:, : len(LABELS)].argmax(1).astype(np.int64)
        return labels

    def distributions(self) -> NDArray[np.float32]:
        """(n, 8) each emotion's share of the votes; a single vote is an outlier and dropped, as the authors do."""
        votes = self.votes[:, : len(LABELS)].astype(np.float32)
        agreed = np.where(votes > 1, votes, 0)
        agreed = np.where(agreed.any(1, keepdims=True), agreed, votes)
        shares: NDArray[np.float32] = agreed / agreed.sum(1, keepdims=True)
        return shares


def load(split: str) -> FerPlus:
    """Read `split`: train, valid or test. Raises OSError where the corpus is absent."""
    return _load(data_root() / "face", split)


def read(root: Path) -> tuple[Sample, ...]:
    """The labelled images of all splits; nobody is named."""
    fix = "Make the three files from fer2013.csv and fer2013new.csv (github.com/microsoft/FERPlus)."
    for split in ("train", "valid", "test"):
        need_file(CORPUS.name, root / f"ferplus_{split}.npz", fix)
    return tuple(sample for split in ("train", "valid", "test") for sample in _samples(root, split))


def _load(root: Path, split: str) -> FerPlus:
    with np.load(root / f"ferplus_{split}.npz") as arrays:
        return FerPlus(arrays["images"], arrays["votes"])


def _samples(root: Path, split: str) -> list[Sample]:
    data = _load(root, split).labelled()
    rows = zip(data.images, data.labels(), data.distributions(), strict=True)
    return [
        Sample(f"{split}-{i}", None, LABELS[label], image=image, votes=tuple(map(float, shares)), split=split)
        for i, (image, label, shares) in enumerate(rows)
    ]


CORPUS: Final = Corpus(
    name="ferplus",
    modality="face",
    licence="labels MIT; images without a clear grant",
    commercial=False,
    citation="Barsoum et al., Training deep networks for facial expression recognition, ICMI 2016",
    source="https://github.com/microsoft/FERPlus",
    labels=LABELS,
    to_base={label: label for label in LABELS},
    read=read,
    folder="face",
)
