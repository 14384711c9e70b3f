"""Words of the test that training has read: a text inside a text.

A test text of four words or more is told of where it stands, word for word, inside a text of the training, or where a
text of the training of four words or more makes up half of it or more. Case and punctuation do not count. Shorter texts
(`thank you`) are everybody's.
"""

import re
from collections.abc import Sequence
from typing import Final

LEAST_WORDS: Final = 4
COVERED: Final = 0.5
"""Share of a test text that a training text must make up."""
_WORD: Final = re.compile(r"[\w']+")


def words(text: str) -> tuple[str, ...]:
    """The words of a text, in lower case."""
    return tuple(_WORD.findall(text.lower()))


def contained(train: Sequence[str], test: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (i of `train`, j of `test`) of which one stands inside the other, the first of each test text."""
    learnt = [words(text) for text in train]
    whole = {text: i for i, text in reversed(list(enumerate(learnt))) if len(text) >= LEAST_WORDS}
    passages = "".join(f" {' '.join(text)} \n" for text in learnt)
    starts = [0]
    for text in learnt:
        starts.append(starts[-1] + len(" ".join(text)) + 3)
    pairs: list[tuple[int, int]] = []
    for j, text in enumerate(map(words, test)):
        if len(text) < LEAST_WORDS:
            continue
        at = passages.find(f" {' '.join(text)} ")
        inside = _place(starts, at) if at >= 0 else _part(text, whole)
        if inside is not None:
            pairs.append((inside, j))
    return pairs


def _place(starts: Sequence[int], at: int) -> int:
    """The number of the passage that character `at` lies in."""
    from bisect import bisect_right

    return bisect_right(starts, at) - 1


def _part(text: tuple[str, ...], whole: dict[tuple[str, ...], int]) -> int | None:
    """A training text that makes up half of `text` or more, or None."""
    least = max(LEAST_WORDS, round(len(text) * COVERED))
    for length in range(len(text), least - 1, -1):
        for start in range(len(text) - length + 1):
            if (found := whole.get(text[start : start + length])) is not None:
                return found
    return None
