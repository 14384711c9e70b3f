"""FER+: FER2013 faces, 48x48 grey, with ten people's votes an image (Barsoum et al., ICMI 2016).

Exact duplicates between the splits are removed. The corpus names no subjects, so one person may stand in several
splits and no figure on it is independent of the subject.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root

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
    with np.load(data_root() / "face" / f"ferplus_{split}.npz") as arrays:
        return FerPlus(arrays["images"], arrays["votes"])
