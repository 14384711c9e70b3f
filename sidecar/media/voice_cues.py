"""What can be said of a voice without a model: pitch, its range, level and share of speech."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.types import SAMPLE_RATE_HZ, FloatArray

_RATE_HZ: Final = SAMPLE_RATE_HZ // 2
"""Half the rate costs half; below 2 kHz there are harmonics enough."""
_LOWPASS: Final = np.hanning(10)[1:-1].astype(np.float32) / 4.5
"""Eight taps, half amplitude at 2 kHz: sharp peaks would fall between the lags (as in SIFT, Markel 1972)."""
_FRAME: Final = 320  # 40 ms: three periods of the lowest pitch, as Boersma asks
_HOP: Final = 160  # 20 ms
_FFT: Final = 512  # at least a frame and the longest lag, so that the correlation does not wrap round
_LOWEST_HZ: Final = 75.0
_HIGHEST_HZ: Final = 500.0
_VOICED: Final = 0.45
"""Least normalised autocorrelation of a voiced frame (Boersma's voicing threshold)."""
_OCTAVE_COST: Final = 0.01
"""Favour of a higher over a lower candidate of equal strength, per octave (Boersma)."""
_SILENCE: Final = 0.03
"""A frame below this part of the loudest one's amplitude has no pitch (Boersma's silence threshold)."""
_LEAST_FRAMES: Final = 5
"""Fewer voiced frames (100 ms) make no median."""
_FLOOR_DB: Final = -100.0


def voice_cues(samples: FloatArray, speech: NDArray[np.bool_]) -> Mapping[str, float | None]:
    """`pitch_hz`, `pitch_range_semitones`, `level_db`, `speech_share` of one window.

    `samples` (n,) float32 at 16 kHz; `speech` (n,) tells which of them are speech. The range is that between the 20th
    and 80th percentile of the pitch (as in GeMAPS: Eyben et al., IEEE Trans. Affective Computing 7, 2016), which a few
    octave errors do not move. `level_db` is the RMS of the speech in dB of full scale. None where nothing is voiced,
    or nothing is said.
    """
    pitch_hz = pitch_track(samples, speech)
    voiced = len(pitch_hz) >= _LEAST_FRAMES
    low_hz, median_hz, high_hz = np.percentile(pitch_hz, (20, 50, 80)) if voiced else (1.0, 1.0, 1.0)
    return {
        "pitch_hz": float(median_hz) if voiced else None,
        "pitch_range_semitones": float(12 * np.log2(high_hz / low_hz)) if voiced else None,
        "level_db": level_db(samples[speech]),
        "speech_share": float(np.mean(speech)) if len(speech) else 0.0,
    }


def level_db(samples: FloatArray) -> float | None:
    """RMS in dB of full scale, not below -100; None of nothing."""
    if not len(samples):
        return None
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(_FLOOR_DB, 10 * float(np.log10(power))) if power > 0 else _FLOOR_DB


def pitch_track(samples: FloatArray, speech: NDArray[np.bool_]) -> FloatArray:
    """Fundamental frequency of each voiced frame, (voiced frames,) float32 in Hz.

    P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
    sampled sound", Proc. Institute of Phonetic Sciences 17, 1993: the autocorrelation of a Hann-windowed frame over
    that of the window, its strongest peak refined by a parabola; without his path finder, as only a median is wanted.
    """
    if len(samples) < 2 * _FRAME:
        return np.zeros(0, np.float32)
    frames = _speech_frames(np.convolve(samples, _LOWPASS, mode="same")[::2], speech[::2])
    if not len(frames):
        return np.zeros(0, np.float32)
    taper = np.hanning(_FRAME).astype(np.float32)
    correlation = _autocorrelation((frames - frames.mean(axis=1, keepdims=True)) * taper)
    longest = int(np.ceil(_RATE_HZ / _LOWEST_HZ)) + 2
    own = _autocorrelation(taper[None])[:, :longest]
    energy = np.maximum(correlation[:, :1], 1e-12)
    strength = (correlation[:, :longest] / energy) * (own[:, :1] / own)
    lags = np.arange(int(_RATE_HZ / _HIGHEST_HZ), longest - 1)
    height, shift = _parabolas(strength, lags)
    cost = _OCTAVE_COST * np.log2(lags * (_LOWEST_HZ / _RATE_HZ))
    best = np.argmax(height - cost.astype(np.float32), axis=1)
    rows = np.arange(len(frames))
    loudness = np.abs(frames).max(axis=1)
    voiced = (height[rows, best] >= _VOICED) & (loudness >= _SILENCE * loudness.max())
    pitch_hz: FloatArray = (_RATE_HZ / (lags[best] + shift[rows, best]))[voiced].astype(np.float32)
    return pitch_hz


def _parabolas(values: FloatArray, at: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Height of the peak through each point and its neighbours, and its offset from the point (rows, at) each.

    The height is -inf where there is no peak. Comparing peaks between the samples, not at them, is what keeps a high
    voice, whose period is few samples long, from being taken for the octave below.
    """
    left, middle, right = values[:, at - 1], values[:, at], values[:, at + 1]
    peak = (middle >= left) & (middle >= right) & (2 * middle > left + right)
    bend = np.where(peak, 2 * middle - left - right, 1)
    slope = right - left
    height = np.where(peak, middle + slope * slope / (8 * bend), -np.inf)
    return height, np.where(peak, slope / (2 * bend), 0)


def _speech_frames(samples: FloatArray, speech: NDArray[np.bool_]) -> FloatArray:
    """Frames that are speech throughout and not all zero, (frames, 320), of sound at 8 kHz."""
    frames: FloatArray = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    spoken = np.lib.stride_tricks.sliding_window_view(speech, _FRAME)[::_HOP].all(axis=1)
    frames = frames[spoken]
    sounding: NDArray[np.bool_] = np.abs(frames).max(axis=1, initial=0) > 0
    return frames[sounding]


def _autocorrelation(frames: FloatArray) -> FloatArray:
    spectrum = np.fft.rfft(frames, _FFT, axis=1)
    power = spectrum.real * spectrum.real + spectrum.imag * spectrum.imag
    correlation: FloatArray = np.fft.irfft(power, _FFT, axis=1).astype(np.float32, copy=False)
    return correlation
