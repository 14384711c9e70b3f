"""AffectNet: faces from the web in eight expressions, valence and arousal (Mollahosseini et al., arXiv:1708.03985).

Layout of the release for research groups: train_set and val_set, each with images/N.jpg (224x224 faces) and
annotations/N_exp.npy, N_val.npy, N_aro.npy. The test set is withheld, so `val_set` is the split `test` and validation
is carved out of training. No subjects are published: the same person may stand in both, and no figure on it is
independent of the person.
"""

import math
from pathlib import Path
from typing import Final

import numpy as np

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import files_in, need_all

LABELS: Final = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""In the order of the numbers in N_exp.npy."""
_UNKNOWN: Final = -2.0
"""Valence or arousal of a face that was not rated."""
_SETS: Final = {"train_set": "train", "val_set": "test"}
_FIX: Final = "Ask for it at mohammadmahoor.com/affectnet and unpack train_set and val_set there."


def read(root: Path) -> tuple[Sample, ...]:
    """Every face of the two sets. Raises `CorpusError`."""
    return tuple(sample for folder, split in _SETS.items() for sample in _read_set(root / folder, split))


def _read_set(folder: Path, split: str) -> list[Sample]:
    pictures = files_in(CORPUS.name, folder / "images", ("*.jpg", "*.png"), _FIX)
    notes = folder / "annotations"
    kinds = ("exp", "val", "aro")
    need_all(CORPUS.name, (notes / f"{path.stem}_{kind}.npy" for path in pictures for kind in kinds), _FIX)
    return [_sample(path, notes, split) for path in pictures]


def _sample(path: Path, notes: Path, split: str) -> Sample:
    number = int(_value(notes / f"{path.stem}_exp.npy"))
    if not 0 <= number < len(LABELS):
        raise CorpusError(f"{CORPUS.name}: {path} is of expression {number}; this release has 0 to 7. {_FIX}")
    valence, arousal = (_value(notes / f"{path.stem}_{kind}.npy") for kind in ("val", "aro"))
    rated = min(valence, arousal) > _UNKNOWN
    return Sample(
        name=f"{split}-{path.stem}",
        subject=None,
        label=LABELS[number],
        path=path,
        vad=(valence, arousal, math.nan) if rated else None,
        split=split,
    )


def _value(path: Path) -> float:
    """The one number of a file, which some releases store as text."""
    try:
        return float(np.load(path).item())
    except (ValueError, OSError, EOFError) as error:
        raise CorpusError(f"{CORPUS.name}: {path} does not hold one number ({error}). {_FIX}") from error


CORPUS: Final = Corpus(
    name="affectnet",
    modality="face",
    licence="AffectNet licence: research, by agreement",
    commercial=False,
    citation="Mollahosseini et al., AffectNet, IEEE Transactions on Affective Computing 10(1), 2019, arXiv:1708.03985",
    source="http://mohammadmahoor.com/affectnet",
    labels=LABELS,
    to_base={label: label for label in LABELS},
    read=read,
)
