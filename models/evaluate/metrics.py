"""The figures of this project, each as a few lines of numpy with its source; the tests hold them against scikit-learn.

Throughout: `truth` and `said` (n,) are class numbers, `shares` (n, classes) probabilities whose rows sum to 1. A class
that the truth does not hold is left out of a mean over classes.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 15
"""Bins of equal width for the calibration error, as in Guo et al. (ICML 2017)."""
RESAMPLES: Final = 1000
FEW_GROUPS: Final = 6

Labels = NDArray[np.integer[Any]]
Shares = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]
Figure = Callable[[Rows], float]
"""One figure over the rows named, which may repeat."""


def confusion(truth: Labels, said: Labels, classes: int) -> NDArray[np.int64]:
    """(classes, classes) counts: the row is the truth, the column the answer."""
    counts = np.bincount(truth.astype(np.int64) * classes + said, minlength=classes * classes)
    square: NDArray[np.int64] = counts.reshape(classes, classes)
    return square


def accuracy(truth: Labels, said: Labels) -> float:
    """Share of right answers (weighted accuracy, WA, in the literature on speech)."""
    return float((truth == said).mean())


def uar(truth: Labels, said: Labels) -> float:
    """Unweighted average recall: the mean over classes of the share found (Schuller et al., Interspeech 2009)."""
    return mean_recall(confusion(truth, said, _classes(truth, said)))


def mean_recall(counts: NDArray[np.integer[Any]]) -> float:
    """UAR of a confusion matrix."""
    actual = counts.sum(1)
    present = actual > 0
    return float((counts.diagonal()[present] / actual[present]).mean())


def per_class_f1(truth: Labels, said: Labels, classes: int) -> NDArray[np.float64]:
    """(classes,) harmonic mean of precision and recall; NaN for a class that the truth does not hold."""
    counts = confusion(truth, said, classes)
    actual, answered = counts.sum(1), counts.sum(0)
    f1: NDArray[np.float64] = 2 * counts.diagonal() / np.maximum(actual + answered, 1)
    return np.where(actual > 0, f1, np.nan)


def macro_f1(truth: Labels, said: Labels) -> float:
    """Mean F1 over the classes present."""
    return float(np.nanmean(per_class_f1(truth, said, _classes(truth, said))))


def weighted_f1(truth: Labels, said: Labels) -> float:
    """F1 weighted by how often each class is true."""
    classes = _classes(truth, said)
    weights = np.bincount(truth, minlength=classes)
    return float(np.nansum(per_class_f1(truth, said, classes) * weights) / len(truth))


def pearson(truth: Shares, said: Shares) -> float:
    """Pearson's correlation of two sequences (n,)."""
    return float(np.corrcoef(truth, said)[0, 1])


def ccc(truth: Shares, said: Shares) -> float:
    """Concordance correlation: like Pearson's, but an offset or another scale costs (Lin, Biometrics 45, 1989)."""
    covariance = ((truth - truth.mean()) * (said - said.mean())).mean()
    return float(2 * covariance / (truth.var() + said.var() + (truth.mean() - said.mean()) ** 2))


def probabilities(logits: Shares, temperature: float) -> NDArray[np.float64]:
    """softmax(logits / temperature) of each row, (n, classes)."""
    scaled = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float64) / temperature)
    shares: NDArray[np.float64] = scaled / scaled.sum(1, keepdims=True)
    return shares


def score(logits: Shares, truth: Labels, temperature: float) -> dict[str, float]:
    """The plain figures of logits (n, classes), for recipes: accuracy, UAR, macro-F1 and calibration error."""
    said = logits.argmax(1)
    return {
        "accuracy": accuracy(truth, said),
        "uar": uar(truth, said),
        "macro_f1": macro_f1(truth, said),
        "ece": ece(probabilities(logits, temperature), truth),
    }


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a reliability diagram draws (Niculescu-Mizil and Caruana, ICML 2005): one number a bin of confidence."""

    confidence: NDArray[np.float64]
    """Mean confidence in the bin; NaN where it is empty."""
    accuracy: NDArray[np.float64]
    """Share of right answers in the bin; NaN where it is empty."""
    count: NDArray[np.int64]


def reliability(shares: Shares, truth: Labels, bins: int = BINS) -> Reliability:
    """Answers sorted into `bins` of equal width by their confidence, the largest share."""
    confidence, right = shares.max(1), shares.argmax(1) == truth
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(places, minlength=bins)
    held = np.where(count > 0, count, np.nan)
    sums = (np.bincount(places, weights, bins) for weights in (confidence, right))
    mean_confidence, share_right = (total / held for total in sums)
    return Reliability(mean_confidence, share_right, count)


def ece(shares: Shares, truth: Labels, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence from accuracy over the bins, weighted by their counts."""
    diagram = reliability(shares, truth, bins)
    gaps = np.abs(diagram.accuracy - diagram.confidence)
    return float(np.nansum(gaps * diagram.count) / len(truth))


def brier(shares: Shares, truth: Labels) -> float:
    """Mean squared distance of the shares from the truth, summed over classes: 0-2 (Brier, 1950)."""
    aim = np.eye(shares.shape[1])[truth]
    return float(np.square(shares - aim).sum(1).mean())


def risk_coverage(shares: Shares, truth: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coverage and error rate (n,) of giving only the surest 1, 2, ... n answers (El-Yaniv and Wiener, JMLR 2010)."""
    surest = np.argsort(-shares.max(1), kind="stable")
    wrong = (shares.argmax(1) != truth)[surest]
    given = np.arange(1, len(truth) + 1)
    return given / len(truth), np.cumsum(wrong) / given


def accuracy_at_coverage(shares: Shares, truth: Labels, coverage: float) -> float:
    """Accuracy over the surest `coverage` (0-1, above 0) of the answers."""
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be above 0 and at most 1, is {coverage}")
    _, risk = risk_coverage(shares, truth)
    return float(1 - risk[int(np.ceil(coverage * len(truth))) - 1])


def bootstrap_interval(
    figure: Figure,
    groups: Sequence[Hashable] | NDArray[Any],
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `figure` when whole groups (speakers) are drawn anew, with replacement.

    Clips of one speaker are alike: drawing single clips would make the interval too narrow (cluster bootstrap, Davison
    and Hinkley 1997, section 3.8). `groups` (n,) names the group of each row; where nobody is named, give `range(n)`.
    Of fewer than `FEW_GROUPS` groups there are too few draws to tell anything, so their rows are drawn anew too.
    """
    members = rows_of_groups(groups)
    count, single = len(members), len(members) == len(groups)
    random = np.random.default_rng(seed)

    def draw() -> Rows:
        chosen = random.integers(count, size=count)
        if single:
            return chosen
        drawn = (members[i] for i in chosen)
        return np.concatenate([random.choice(rows, len(rows)) if count < FEW_GROUPS else rows for rows in drawn])

    values = [figure(draw()) for _ in range(resamples)]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def rows_of_groups(groups: Sequence[Hashable] | NDArray[Any]) -> list[Rows]:
    """The rows of each group, in the order of their first appearance."""
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.array(each, np.intp) for each in rows.values()]


def _classes(truth: Labels, said: Labels) -> int:
    return int(max(truth.max(), said.max())) + 1
