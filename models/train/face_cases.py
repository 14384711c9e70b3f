"""Faces of any corpora as one training set: crops, shares of the base emotions, ratings where there are any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.datasets.catalogue import load
from models.datasets.corpus import FACE_PX, Corpus, CorpusError, Sample
from models.datasets.splits import Parts, partition
from models.evaluate import leaks_images
from sidecar.types import EMOTIONS, ByteArray, FloatArray


@dataclass(frozen=True, slots=True)
class Faces:
    """`images` (n, 48, 48) uint8 luma; `targets` (n, labels) shares; `vad` (n, 3) in -1..1, NaN unrated."""

    images: ByteArray
    targets: FloatArray
    vad: FloatArray

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, other: "Faces") -> "Faces":
        return Faces(
            np.concatenate((self.images, other.images)),
            np.concatenate((self.targets, other.targets)),
            np.concatenate((self.vad, other.vad)),
        )

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the emotion with the largest share, the first of equals: an index into the targets."""
        labels: NDArray[np.int64] = self.targets.argmax(1)
        return labels


def load_faces(references: Sequence[str]) -> Mapping[str, Faces]:
    """Train, valid and test of the corpora together; no person who is named and no picture stands in two of them.

    Raises `CorpusError` for a corpus that is missing, or of which a split would be empty.
    """
    splits: dict[str, Faces] = {}
    for reference in references:
        corpus, samples = load(reference, "face")
        for split, part in without_copies(partition(samples)).items():
            if not part:
                raise CorpusError(f"{reference}: no sample is left for {split}; add subjects, or name the splits")
            faces = _faces(corpus, part)
            splits[split] = splits[split] + faces if split in splits else faces
    return splits


def without_copies(parts: Parts) -> Parts:
    """The same splits, but what stands in valid or test, scaled or recompressed, is left out of train, and is told."""
    training, held_out = parts["train"], (*parts["valid"], *parts["test"])
    pairs = leaks_images.alike([each.luma(FACE_PX) for each in training], [each.luma(FACE_PX) for each in held_out])
    copies = {i for i, _, _ in pairs}
    if copies:
        print(f"{len(copies)} of {len(training)} pictures left out of train: copies of them stand in valid or test")
    return {**parts, "train": tuple(sample for i, sample in enumerate(training) if i not in copies)}


def only_shown(splits: Mapping[str, Faces]) -> tuple[tuple[str, ...], Mapping[str, Faces]]:
    """The emotions that training shows, and the splits with targets over these alone: others cannot be learned."""
    shown = splits["train"].targets.sum(0) > 0
    labels = tuple(name for name, there in zip(EMOTIONS, shown, strict=True) if there)
    kept = {}
    for split, faces in splits.items():
        mass = faces.targets[:, shown].sum(1)
        rows = mass > 0
        targets = faces.targets[rows][:, shown] / mass[rows, None]
        kept[split] = Faces(faces.images[rows], targets, faces.vad[rows])
    return labels, kept


def _faces(corpus: Corpus, samples: Sequence[Sample]) -> Faces:
    targets = [corpus.target(sample) for sample in samples]
    kept = [(sample, target) for sample, target in zip(samples, targets, strict=True) if target is not None]
    unrated = (np.nan,) * 3
    return Faces(
        np.stack([sample.luma(FACE_PX) for sample, _ in kept]),
        np.stack([target for _, target in kept]),
        np.array([sample.vad or unrated for sample, _ in kept], np.float32),
    )
