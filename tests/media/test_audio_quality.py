"""Noise, faintness and clipping lower quality, step by step, on real speech."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest

from sidecar.media.audio_quality import audio_quality, noise_and_speech_power
from sidecar.types import FloatArray
from tests.media.speech import jfk


def spoken() -> tuple[FloatArray, np.ndarray]:
    """Three seconds with a pause in them, and which samples are speech (by their level: there is no noise)."""
    samples = jfk()[56_000:104_000]
    power = np.convolve(np.square(samples), np.full(1600, 1 / 1600), mode="same")
    speech = power > 0.02 * power.max()
    assert 0.3 < speech.mean() < 0.95
    return samples, speech


def falls(values: Iterable[float]) -> bool:
    """Each value is below the one before."""
    return all(after < before for before, after in pairwise(values))


def test_noise_lowers_it_step_by_step() -> None:
    samples, speech = spoken()
    hiss = np.random.default_rng(0).normal(0, np.sqrt(np.mean(np.square(samples))), 48_000)
    ladder = [
        audio_quality((samples + hiss * 10 ** (-snr_db / 20)).astype(np.float32), speech)
        for snr_db in (40, 30, 25, 20, 15, 10, 5, 0)
    ]
    assert falls(ladder)
    assert ladder[0] > 0.6
    assert ladder[-1] < 0.2


def test_noise_is_seen_without_a_pause_too() -> None:
    samples, _ = spoken()
    always = np.ones(48_000, np.bool_)
    hiss = np.random.default_rng(0).normal(0, np.sqrt(np.mean(np.square(samples))), 48_000)
    ladder = [
        audio_quality((samples + hiss * 10 ** (-snr_db / 20)).astype(np.float32), always) for snr_db in (30, 20, 10, 0)
    ]
    assert falls(ladder)


def test_clipping_lowers_it_step_by_step() -> None:
    samples, speech = spoken()
    full = samples / np.abs(samples).max() * 0.98
    ladder = [audio_quality(np.clip(full * gain, -1, 1), speech) for gain in (1, 1.5, 2, 3, 4, 8)]
    assert falls(ladder)
    assert ladder[-1] < 0.1 * ladder[0]


def test_faintness_lowers_it_step_by_step_but_plain_gain_does_not() -> None:
    samples, speech = spoken()
    loud = np.sqrt(np.mean(np.square(samples[speech])))
    at = {level_db: samples * (10 ** (level_db / 20) / loud) for level_db in (-20, -30, -42, -46, -50, -54)}
    ladder = [audio_quality(scaled.astype(np.float32), speech) for scaled in at.values()]
    assert ladder[0] == pytest.approx(ladder[1], abs=0.05)
    assert falls(ladder[1:])


def test_silence_and_nobody_speaking_are_worthless() -> None:
    silence = np.zeros(48_000, np.float32)
    assert audio_quality(silence, np.ones(48_000, np.bool_)) == 0
    assert audio_quality(jfk()[:48_000], np.zeros(48_000, np.bool_)) == 0


def test_the_parts_are_measured_right() -> None:
    random = np.random.default_rng(0)
    speech = np.arange(48_000) >= 24_000
    samples = np.where(speech, 0.1, 0.01) * random.normal(size=48_000)
    samples[:8_000] = 0  # a muted stretch is no pause
    noise, level = noise_and_speech_power(samples.astype(np.float32), speech)
    assert noise == pytest.approx(1e-4, rel=0.05)
    assert level == pytest.approx(1e-2, rel=0.05)
