"""Hysteresis, least durations and memory of the speech gate."""

import numpy as np
import pytest

from sidecar.media.speech_gate import FRAME_S, SpeechGate, SpeechGateOptions
from sidecar.types import FloatArray


def gate(**options: float) -> SpeechGate:
    return SpeechGate(SpeechGateOptions(**options))


def probabilities(*runs: tuple[float, float]) -> FloatArray:
    """Frames of (probability, seconds) one after the other."""
    return np.concatenate([np.full(round(seconds / FRAME_S), level, np.float32) for level, seconds in runs])


def test_speech_is_counted_to_the_frame() -> None:
    heard = gate()
    heard.push(10.0, probabilities((0.1, 0.96), (0.9, 1.92), (0.1, 0.96)))
    (span,) = heard.spans(0, 100)
    assert (span.from_s, span.to_s) == (pytest.approx(10.96), pytest.approx(12.88))
    assert heard.speech_s(0, 100) == pytest.approx(1.92)
    assert heard.speech_s(12.0, 12.5) == pytest.approx(0.5)
    assert heard.speech_s(12.5, 20.0) == pytest.approx(0.38)
    assert not heard.speaking


def test_the_same_in_one_piece_and_frame_by_frame() -> None:
    frames = np.random.default_rng(3).random(400).astype(np.float32)
    whole, parts = gate(), gate()
    whole.push(0.0, frames)
    for index, frame in enumerate(frames):
        parts.push(index * FRAME_S, np.array([frame]))
    assert len(whole.spans(0, 100)) > 3
    for ours, theirs in zip(whole.spans(0, 100), parts.spans(0, 100), strict=True):
        assert ours.from_s == pytest.approx(theirs.from_s)
        assert ours.to_s == pytest.approx(theirs.to_s)


def test_between_the_thresholds_speech_goes_on_but_does_not_begin() -> None:
    heard = gate()
    heard.push(0.0, probabilities((0.4, 1.0)))
    assert heard.speech_s(0, 9) == 0
    heard.push(0.992, probabilities((0.6, 0.5), (0.4, 1.0)))
    assert heard.speaking
    assert heard.speech_s(0, 9) == pytest.approx(1.504, abs=0.04)


def test_a_click_is_not_speech_and_a_short_pause_does_not_end_it() -> None:
    clicks = gate()
    clicks.push(0.0, probabilities((0.9, 0.064), (0.0, 0.5), (0.9, 0.064), (0.0, 0.5)))
    assert clicks.spans(0, 9) == ()
    paused = gate()
    paused.push(0.0, probabilities((0.9, 0.5), (0.0, 0.064), (0.9, 0.5)))
    assert len(paused.spans(0, 9)) == 1


def test_speaking_is_said_once_it_is_sure_and_until_it_ends() -> None:
    heard = gate()
    heard.push(0.0, probabilities((0.9, 0.064)))
    assert not heard.speaking
    heard.push(0.064, probabilities((0.9, 0.064)))
    assert heard.speaking
    heard.push(0.128, probabilities((0.1, 0.064)))
    assert heard.speaking
    heard.push(0.192, probabilities((0.1, 0.064)))
    assert not heard.speaking


def test_speech_does_not_go_on_across_a_gap() -> None:
    heard = gate()
    heard.push(0.0, probabilities((0.9, 1.0)))
    heard.push(5.0, probabilities((0.9, 1.0)))
    assert heard.speech_s(0, 9) == pytest.approx(1.984)
    assert heard.speech_s(1.1, 4.9) == 0


def test_what_is_old_or_cleared_is_forgotten() -> None:
    heard = gate(keep_s=4.0)
    heard.push(0.0, probabilities(*[(0.9, 0.512), (0.0, 0.512)] * 8))
    assert heard.speech_s(0, 3) == 0
    assert heard.speech_s(5, 9) > 1
    heard.push(8.192, probabilities((0.9, 0.512)))
    heard.clear()
    assert not heard.speaking
    assert heard.spans(0, 99) == ()
