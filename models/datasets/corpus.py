"""What all corpora have in common: who they are, what their labels mean, and their samples.

from models.datasets.catalogue import load
from models.datasets.splits import partition

corpus, samples = load("ravdess")             # or "iemocap:/data/IEMOCAP_full_release", "folder:/my/clips"
parts = partition(samples)                    # {"train": ..., "valid": ..., "test": ...}, no subject in two of them
corpus.target(parts["train"][0])              # (8,) shares of the base emotions
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np

from models.datasets.media import read_audio, read_luma
from sidecar.types import EMOTIONS, ByteArray, FloatArray

CorpusModality = Literal["face", "voice", "text", "call"]
FACE_PX: Final = 48


class CorpusError(Exception):
    """A corpus that is missing, half unpacked or not of its layout; the message names the folder and the fix."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One thing with a label: a clip, a face, a text or a span of a call."""

    name: str
    """Unique within its corpus."""
    subject: str | None
    """Who speaks or is seen; None where the corpus does not say."""
    label: str | None
    """In the words of the corpus; None where it has none."""
    path: Path | None = None
    """The file of a clip, a picture or a recording."""
    span_s: tuple[float, float] | None = None
    """Which part of the file; None for all of it."""
    image: ByteArray | None = field(default=None, repr=False, compare=False)  # (height, width) uint8 luma
    text: str | None = None
    votes: tuple[float, ...] | None = None
    """What raters said, as weights over the corpus' labels; not normalised."""
    vad: tuple[float, float, float] | None = None
    """Valence, arousal and dominance, each -1..1; NaN for one that was not rated."""
    split: str | None = None
    """`train`, `valid` or `test` where the publishers, or the readme of the data on hand, say so."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Groups the sample belongs to, for slices: `gender` (female, male), `age`, `language` (ISO 639-1), `race`, ..."""

    def audio(self) -> FloatArray:
        """(samples,) float32, 16 kHz mono, whatever the file holds. Raises `UnreadableMedia`."""
        return read_audio(self._file(), self.span_s)

    def luma(self, side_px: int = FACE_PX) -> ByteArray:
        """(side, side) uint8 BT.601 luma: the middle square, scaled. Raises `UnreadableMedia`."""
        if self.image is not None and self.image.shape == (side_px, side_px):
            return self.image
        return read_luma(self._file() if self.image is None else self.image, side_px)

    def _file(self) -> Path:
        if self.path is None:
            raise ValueError(f"{self.name} has no file")
        return self.path


@dataclass(frozen=True, slots=True)
class Corpus:
    """One corpus: facts as data, and how to read its layout."""

    name: str
    modality: CorpusModality
    licence: str
    commercial: bool
    """Whether the licence lets a model trained on it be sold."""
    citation: str
    source: str
    """Where it is to be had: an address, or whom to ask."""
    labels: tuple[str, ...]
    """Native labels, in the corpus' own order."""
    to_base: Mapping[str, str]
    """Native label to base emotion; a label that is not here has none and teaches no expression."""
    read: Callable[[Path], tuple[Sample, ...]]
    """All samples below a root folder. Raises `CorpusError`."""
    folder: str | None = None
    """Where it lies below `data_root()`; None where one must say."""

    def base(self, sample: Sample) -> str | None:
        """The base emotion of a sample's label, or None."""
        return None if sample.label is None else self.to_base.get(sample.label)

    def target(self, sample: Sample) -> FloatArray | None:
        """(8,) float32 shares of EMOTIONS that sum to 1, from votes where there are any; None where nothing maps."""
        weights = dict.fromkeys(EMOTIONS, 0.0)
        if sample.votes is not None:
            for label, votes in zip(self.labels, sample.votes, strict=True):
                if votes and label in self.to_base:
                    weights[self.to_base[label]] += votes
        elif (emotion := self.base(sample)) is not None:
            weights[emotion] = 1.0
        total = sum(weights.values())
        return np.array(list(weights.values()), np.float32) / np.float32(total) if total > 0 else None

    def require_classes(self, samples: Sequence[Sample], labels: Sequence[str] | None = None) -> None:
        """Raises `CorpusError` naming the labels, of `labels` or of the whole corpus, that no sample has."""
        absent = sorted(set(labels or self.labels) - {sample.label for sample in samples})
        if absent:
            raise CorpusError(
                f"{self.name}: no sample of {', '.join(absent)} among {len(samples)}; a class cannot be learned from "
                "nothing: add samples of it, leave it out of the labels, or move subjects between the splits"
            )
