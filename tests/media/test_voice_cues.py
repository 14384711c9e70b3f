"""Pitch, range, level and share against sounds whose figures are known, and a real voice."""

import numpy as np
import pytest

from sidecar.media.voice_cues import level_db, pitch_track, voice_cues
from sidecar.types import FloatArray
from tests.media.speech import jfk

ALL = np.ones(48_000, np.bool_)
TIME_S = np.arange(48_000) / 16_000


def voice(pitch_hz: float | FloatArray, level: float = 0.1) -> FloatArray:
    """Three seconds of a sawtooth's first eight harmonics."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(pitch_hz, TIME_S.shape)) / 16_000
    wave = sum(np.sin(k * phase) / k for k in range(1, 9))
    return (level * wave / np.sqrt(np.mean(np.square(wave)))).astype(np.float32)


@pytest.mark.parametrize("pitch_hz", [80.0, 123.4, 220.0, 350.0, 460.0])
def test_pitch_and_level_of_a_steady_voice(pitch_hz: float) -> None:
    cues = voice_cues(voice(pitch_hz), ALL)
    assert cues["pitch_hz"] == pytest.approx(pitch_hz, rel=0.005)
    assert cues["pitch_range_semitones"] == pytest.approx(0.0, abs=0.1)
    assert cues["level_db"] == pytest.approx(-20.0, abs=0.01)
    assert cues["speech_share"] == 1.0


def test_pitch_holds_in_noise_and_without_the_fundamental() -> None:
    noise = np.random.default_rng(1).normal(0, 0.03, 48_000)  # 10 dB below the voice
    assert voice_cues((voice(150.0) + noise).astype(np.float32), ALL)["pitch_hz"] == pytest.approx(150.0, rel=0.01)
    phase = 2 * np.pi * 150.0 * TIME_S
    telephone = (0.1 * sum(np.sin(k * phase) for k in range(3, 9))).astype(np.float32)
    assert voice_cues(telephone, ALL)["pitch_hz"] == pytest.approx(150.0, rel=0.01)


def test_a_glide_has_its_range() -> None:
    """An octave in equal steps of time: the middle three fifths of it are 7.2 semitones."""
    glide = voice((150.0 * 2 ** (TIME_S / 3.0)).astype(np.float32))
    assert voice_cues(glide, ALL)["pitch_range_semitones"] == pytest.approx(7.2, abs=0.4)


@pytest.mark.parametrize("sound", ["noise", "silence", "nothing"])
def test_what_has_no_voice_has_no_pitch(sound: str) -> None:
    samples = {
        "noise": np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32),
        "silence": np.zeros(48_000, np.float32),
        "nothing": np.zeros(0, np.float32),
    }[sound]
    cues = voice_cues(samples, ALL[: len(samples)])
    assert cues["pitch_hz"] is None
    assert cues["pitch_range_semitones"] is None


def test_only_speech_counts() -> None:
    samples = np.concatenate([voice(120.0)[:24_000], voice(300.0, level=0.5)[:24_000]])
    first = np.arange(48_000) < 24_000
    cues = voice_cues(samples, first)
    assert cues["pitch_hz"] == pytest.approx(120.0, rel=0.005)
    assert cues["level_db"] == pytest.approx(-20.0, abs=0.1)
    assert cues["speech_share"] == 0.5
    nobody = voice_cues(samples, np.zeros(48_000, np.bool_))
    assert nobody == {"pitch_hz": None, "pitch_range_semitones": None, "level_db": None, "speech_share": 0.0}


def test_level_of_silence_has_a_floor() -> None:
    assert level_db(np.zeros(100, np.float32)) == -100.0
    assert level_db(np.ones(100, np.float32)) == 0.0


def test_pitch_follows_a_real_voice() -> None:
    """Played faster, the voice is higher by as much."""
    samples = jfk()[48_000:96_000]
    pitch_hz = float(np.median(pitch_track(samples, ALL)))
    assert 120 < pitch_hz < 350
    faster = np.interp(np.arange(0, 48_000, 1.2), np.arange(48_000), samples).astype(np.float32)
    raised_hz = float(np.median(pitch_track(faster, ALL[: len(faster)])))
    assert raised_hz / pitch_hz == pytest.approx(1.2, rel=0.06)
