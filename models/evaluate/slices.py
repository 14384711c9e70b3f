"""How a figure differs between groups of people, and whether chance explains it."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.evaluate import metrics
from models.evaluate.answers import Answers

PERMUTATIONS: Final = 999
LEAST_ORDERS: Final = 20
"""With fewer ways to deal the trait out to the people no gap could ever be significant at 5 %."""


def slices(answers: Answers) -> dict[str, dict[str, Any]]:
    """For each trait: the UAR of each slice, the gap between best and worst, and its significance.

    `p` is the share of ways to deal the trait out to the people anew that give a gap as large (permutation test, Good
    2005; people, not clips, are dealt to); None where too few people make such a test empty.
    """
    found = {}
    for trait, values in answers.traits.items():
        kinds, codes = np.unique(values, return_inverse=True)
        people = _people(answers.people, values)
        counts, dealt = _by_person(answers, codes, people)
        told = [np.flatnonzero(dealt == code) for code in range(len(kinds))]
        recalls = _recalls(counts, dealt)
        found[answers.prefixed(trait)] = {
            "figure": answers.prefixed("uar"),
            "slices": {
                kind: {"uar": recall, "answers": int(counts[who].sum()), "people": len(who)}
                for kind, who, recall in zip(kinds.tolist(), told, recalls, strict=True)
            },
            "gap": max(recalls) - min(recalls),
            "p": _significance(counts, dealt),
        }
    return found


def _people(people: Sequence[Hashable], values: Sequence[str]) -> Sequence[Hashable]:
    """The people, or the single rows where a trait is not one of the person (the light of a picture)."""
    fixed = len(set(zip(people, values, strict=True))) == len(set(people))
    return people if fixed else range(len(values))


def _by_person(
    answers: Answers, codes: NDArray[np.intp], people: Sequence[Hashable]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """(people, classes, classes) each one's confusion, and (people,) the code of the trait."""
    members = metrics.rows_of_groups(people)
    truth, said, classes = answers.truth, answers.said, len(answers.labels)
    counts = np.stack([metrics.confusion(truth[rows], said[rows], classes) for rows in members])
    return counts, np.array([codes[rows[0]] for rows in members])


def _recalls(counts: NDArray[np.int64], dealt: NDArray[np.intp]) -> list[float]:
    """The UAR of each slice."""
    return [metrics.mean_recall(counts[dealt == code].sum(0)) for code in np.unique(dealt)]


def _significance(counts: NDArray[np.int64], dealt: NDArray[np.intp]) -> float | None:
    if _orders(dealt) < LEAST_ORDERS:
        return None
    random = np.random.default_rng(0)
    seen = _gap(counts, dealt)
    as_large = sum(_gap(counts, random.permutation(dealt)) >= seen - 1e-12 for _ in range(PERMUTATIONS))
    return (1 + as_large) / (1 + PERMUTATIONS)


def _gap(counts: NDArray[np.int64], dealt: NDArray[np.intp]) -> float:
    recalls = _recalls(counts, dealt)
    return max(recalls) - min(recalls)


def _orders(dealt: NDArray[np.intp]) -> int:
    """In how many ways the people can be given these values."""
    orders = math.factorial(len(dealt))
    for count in Counter(dealt.tolist()).values():
        orders //= math.factorial(count)
    return orders
