"""The figures agree with scikit-learn and with values worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from models.evaluate import metrics


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, answers and shares of 400 rows over five classes, the last of which is never true."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 400)
    logits = random.normal(0, 1, (400, 5))
    logits[np.arange(400), truth] += 1.0
    shares = metrics.probabilities(logits, 1.0)
    return truth, shares.argmax(1), shares


def test_figures_of_a_classifier_are_those_of_scikit_learn(answers):
    truth, said, shares = answers
    assert metrics.accuracy(truth, said) == pytest.approx(reference.accuracy_score(truth, said))
    recalls = reference.recall_score(truth, said, labels=range(4), average=None)
    assert metrics.uar(truth, said) == pytest.approx(recalls.mean())
    f1 = reference.f1_score(truth, said, labels=range(4), average=None)
    np.testing.assert_allclose(metrics.per_class_f1(truth, said, 5), [*f1, np.nan])
    assert metrics.macro_f1(truth, said) == pytest.approx(f1.mean())
    assert metrics.weighted_f1(truth, said) == pytest.approx(reference.f1_score(truth, said, average="weighted"))
    np.testing.assert_array_equal(
        metrics.confusion(truth, said, 5), reference.confusion_matrix(truth, said, labels=range(5))
    )
    two = shares[:, :2] / shares[:, :2].sum(1, keepdims=True)
    half = reference.brier_score_loss(truth == 1, two[:, 1])
    assert metrics.brier(two, (truth == 1).astype(int)) == pytest.approx(2 * half)


def test_calibration_error_by_hand():
    """Four answers at 0.8, two of them right, and one at 0.55 that is: |0.5 - 0.8| * 4/5 + |1 - 0.55| / 5."""
    shares = np.array([[0.8, 0.2]] * 4 + [[0.55, 0.45]])
    truth = np.array([0, 0, 1, 1, 0])
    assert metrics.ece(shares, truth) == pytest.approx(0.3 * 4 / 5 + 0.45 / 5)
    diagram = metrics.reliability(shares, truth)
    assert diagram.count.sum() == 5
    assert diagram.accuracy[12] == 0.5
    sure = np.array([[1.0, 0.0]])
    assert metrics.ece(sure, np.array([0])) == 0


def test_concordance_punishes_what_correlation_forgives():
    truth = np.linspace(-1, 1, 50)
    assert metrics.ccc(truth, truth) == pytest.approx(1)
    shifted = truth + 0.5
    assert metrics.pearson(truth, shifted) == pytest.approx(1)
    assert metrics.ccc(truth, shifted) == pytest.approx(2 * truth.var() / (2 * truth.var() + 0.25))


def test_abstaining_where_the_model_is_unsure_raises_accuracy():
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.55, 0.45]])
    truth = np.array([0, 1, 0, 0])
    coverage, risk = metrics.risk_coverage(shares, truth)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 4])
    assert metrics.accuracy_at_coverage(shares, truth, 0.5) == 1
    assert metrics.accuracy_at_coverage(shares, truth, 1.0) == 0.75
    with pytest.raises(ValueError, match="coverage"):
        metrics.accuracy_at_coverage(shares, truth, 0)


def test_intervals_draw_whole_speakers():
    """Ten speakers, each all right or all wrong: ten answers' worth of evidence, not a thousand."""
    right = np.repeat([0, 1] * 5, 100)
    speakers = np.repeat(np.arange(10), 100)

    def figure(rows: np.ndarray) -> float:
        return float(right[rows].mean())

    low, high = metrics.bootstrap_interval(figure, speakers)
    # Ten draws of a fair coin: the binomial's 2.5 % and 97.5 % quantiles are 2 and 8 of 10.
    assert (low, high) == pytest.approx((0.2, 0.8), abs=0.051)
    alike = np.tile([0, 1], 90)
    few = metrics.bootstrap_interval(lambda rows: float(alike[rows].mean()), np.repeat([1, 2, 3], 60), resamples=200)
    assert few == pytest.approx((0.43, 0.57), abs=0.03), "three speakers who are alike still leave a doubt"
    narrow = metrics.bootstrap_interval(figure, range(1000), resamples=200)
    assert narrow[1] - narrow[0] < 0.1
    assert metrics.bootstrap_interval(figure, speakers) == (low, high)
