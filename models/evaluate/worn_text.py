"""Sentences as speech recognition gives them, each flaw by itself and by degrees."""

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

_BARE: Final = str.maketrans("", "", string.punctuation.replace("'", ""))


def missing_words(texts: Sequence[str], share: float) -> list[str]:
    """Each word lost by chance, the last one left kept: deletions are what recognition of soft speech does most."""
    random = np.random.default_rng(0)
    kept = []
    for text in texts:
        words = text.split()
        left = [word for word in words if random.random() >= share]
        kept.append(" ".join(left or words[-1:]))
    return kept


def wrong_words(texts: Sequence[str], share: float) -> list[str]:
    """Each word replaced by chance by another of the same texts: substitutions."""
    random = np.random.default_rng(0)
    heard = [word for text in texts for word in text.split()]
    return [
        " ".join(heard[random.integers(len(heard))] if random.random() < share else word for word in text.split())
        for text in texts
    ]


def unpunctuated(texts: Sequence[str], _: float) -> list[str]:
    """Lower case and without punctuation, as most recognisers write."""
    return [text.lower().translate(_BARE) for text in texts]


def shouted(texts: Sequence[str], _: float) -> list[str]:
    """Capitals throughout, as captions are."""
    return [text.upper() for text in texts]


FLAWS: Final[Mapping[str, tuple[Callable[[Sequence[str], float], list[str]], tuple[float, ...], str]]] = {
    "words_lost": (missing_words, (0.05, 0.1, 0.2, 0.4), "lost"),
    "words_wrong": (wrong_words, (0.05, 0.1, 0.2, 0.4), "wrong"),
    "unpunctuated": (unpunctuated, (1,), "of the text"),
    "capitals": (shouted, (1,), "of the text"),
}
"""Name of the flaw: how, how much, in which unit."""
