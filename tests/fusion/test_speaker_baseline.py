"""What is typical of one person: learned where they show several emotions, left alone where they show one."""

import numpy as np
import pytest

from sidecar.errors import PackError
from sidecar.fusion.calibration import Calibration
from sidecar.fusion.speaker_baseline import SpeakerBaseline, SpeakerOptions

from .test_calibration import RAVDESS, Head, Scaling

TYPICAL = tuple(tuple(4.0 if row == column else 0.0 for column in range(8)) for row in range(8))
HEAD = Calibration(Head(calibration=Scaling(typical=TYPICAL)))
OPTIONS = SpeakerOptions(prior_windows=8, variety=0.6)
SHARP = np.eye(8, dtype=np.float32)[RAVDESS.index("angry")] * 1.5
"""A voice that sounds angrier than others, whatever is felt."""


def windows(labels: tuple[str, ...], count: int, offset: np.ndarray = SHARP) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    said = [RAVDESS.index(labels[i % len(labels)]) for i in range(count)]
    return [np.asarray(TYPICAL[i], np.float32) + offset + random.normal(0, 0.3, 8).astype(np.float32) for i in said]


def test_a_sharp_voice_is_no_longer_taken_for_anger() -> None:
    baseline = SpeakerBaseline(HEAD, OPTIONS)
    stream = windows(("neutral", "happy", "sad", "surprised"), 60)
    adjusted = [baseline.adjust(logits) for logits in stream]
    angry = RAVDESS.index("angry")
    np.testing.assert_array_equal(adjusted[0], stream[0], "one window shows no variety: the population decides")
    assert np.mean([logits[angry] for logits in stream[-8:]]) > 1.2
    assert abs(np.mean([logits[angry] for logits in adjusted[-8:]])) < 0.6, "it was above 1.2"


@pytest.mark.parametrize("shown", [("angry",), ("sad",)])
def test_one_emotion_all_along_is_not_erased(shown: tuple[str, ...]) -> None:
    baseline = SpeakerBaseline(HEAD, OPTIONS)
    stream = windows(shown, 200)
    adjusted = [baseline.adjust(logits) for logits in stream]
    np.testing.assert_allclose(adjusted[-1], stream[-1], atol=0.25)


def test_what_is_unfamiliar_or_not_finite_is_not_learned_from() -> None:
    head = Calibration(Head(calibration=Scaling(typical=TYPICAL, energy_limit=-2.0)))
    noisy, plain = SpeakerBaseline(head, OPTIONS), SpeakerBaseline(head, OPTIONS)
    noise = np.full(8, -6.0, np.float32)
    for logits in windows(("neutral", "happy"), 30):
        np.testing.assert_array_equal(noisy.adjust(noise), noise)
        assert np.isnan(noisy.adjust(np.full(8, np.nan, np.float32))).all()
        np.testing.assert_array_equal(noisy.adjust(logits), plain.adjust(logits))


def test_a_model_without_typical_logits_passes_as_it_is() -> None:
    logits = np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(SpeakerBaseline(Calibration(Head()), OPTIONS).adjust(logits), logits)


def test_a_table_that_is_not_square_is_named() -> None:
    with pytest.raises(PackError, match=r"calibration\.typical must have 8 rows"):
        Calibration(Head(calibration=Scaling(typical=TYPICAL[:7])))
