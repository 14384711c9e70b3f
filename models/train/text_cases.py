"""The text corpora as one training set: each text with whatever targets its corpus has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import emobank, goemotions, meld, sst2
from models.train.recipe import RecipeError
from sidecar.types import EMOTIONS

FloatArray = NDArray[np.float32]

CORPORA: Final = ("goemotions", "meld", "emobank", "sst2")

GROUPS: Final[FloatArray] = np.array(
    [[goemotions.TO_BASE[label] == base for base in EMOTIONS] for label in goemotions.LABELS], np.float32
)
"""(28, 8): sums probabilities of native labels into base emotions. No label maps to contempt."""


@dataclass(frozen=True, slots=True)
class TextCases:
    """`texts` (n) and their targets: distributions whose rows are zero, and affect that is NaN, where unknown."""

    texts: tuple[str, ...]
    native: FloatArray  # (n, 28) over the GoEmotions labels
    base: FloatArray  # (n, 8) over the base emotions
    sentiment: FloatArray  # (n, 3) over negative, neutral, positive
    vad: FloatArray  # (n, 3) in -1..1
    corpus: NDArray[np.int64]  # (n) index into CORPORA


def assemble(split: str, sst2_phrases: int, corpora: Sequence[str] = CORPORA) -> TextCases:
    """`corpora` of `split` (train or dev), with the longest `sst2_phrases` of SST-2's 57,099 phrases.

    Raises `RecipeError` for a corpus that nobody knows, OSError where one is absent.
    """
    if unknown := sorted(set(corpora) - set(CORPORA)):
        raise RecipeError(f"text corpora {', '.join(unknown)} are not known; there are {', '.join(CORPORA)}")
    makers = {
        "goemotions": lambda: _goemotions(goemotions.load(split)),
        "meld": lambda: _meld(meld.load(split)),
        "emobank": lambda: _emobank(emobank.load(split)),
        "sst2": lambda: _sst2(sst2.longest(sst2.load(split), sst2_phrases)),
    }
    return joined([makers[name]() for name in corpora])


def joined(parts: Sequence[TextCases]) -> TextCases:
    """The cases of all parts, in order."""
    return TextCases(
        tuple(text for part in parts for text in part.texts),
        np.concatenate([part.native for part in parts]),
        np.concatenate([part.base for part in parts]),
        np.concatenate([part.sentiment for part in parts]),
        np.concatenate([part.vad for part in parts]),
        np.concatenate([part.corpus for part in parts]),
    )


def _unlabelled(texts: tuple[str, ...], corpus: str) -> TextCases:
    n = len(texts)
    widths = (len(goemotions.LABELS), len(EMOTIONS), len(meld.SENTIMENTS))
    native, base, sentiment = (np.zeros((n, width), np.float32) for width in widths)
    unrated = np.full((n, 3), np.nan, np.float32)
    return TextCases(texts, native, base, sentiment, unrated, np.full(n, CORPORA.index(corpus)))


def _goemotions(corpus: goemotions.GoEmotions) -> TextCases:
    cases = _unlabelled(corpus.texts, "goemotions")
    cases.native[:] = corpus.labels / corpus.labels.sum(1, keepdims=True)
    cases.base[:] = cases.native @ GROUPS
    polarity = np.array(
        [[goemotions.TO_SENTIMENT.get(label) == name for name in meld.SENTIMENTS] for label in goemotions.LABELS]
    )
    seen = corpus.labels @ polarity  # (n, 3) bool
    # Mixed feelings say nothing certain about the sentiment; neither do the ambiguous emotions alone.
    cases.sentiment[:] = seen * (seen.sum(1, keepdims=True) == 1)
    return cases


def _meld(corpus: meld.Meld) -> TextCases:
    cases = _unlabelled(corpus.texts, "meld")
    columns = np.array([EMOTIONS.index(meld.TO_BASE[label]) for label in meld.LABELS])
    rows = np.arange(len(corpus.texts))
    cases.base[rows, columns[corpus.labels]] = 1.0
    cases.sentiment[rows, corpus.sentiments] = 1.0
    return cases


def _emobank(corpus: emobank.EmoBank) -> TextCases:
    cases = _unlabelled(corpus.texts, "emobank")
    cases.vad[:] = corpus.vad
    return cases


def _sst2(corpus: sst2.Sst2) -> TextCases:
    cases = _unlabelled(corpus.texts, "sst2")
    columns = np.array([meld.SENTIMENTS.index(label) for label in sst2.LABELS])
    cases.sentiment[np.arange(len(corpus.texts)), columns[corpus.labels]] = 1.0
    return cases
