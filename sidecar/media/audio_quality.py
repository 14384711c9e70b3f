"""How much a window of sound can be trusted: noise, level and clipping."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.types import SAMPLE_RATE_HZ, FloatArray

_FRAME: Final = SAMPLE_RATE_HZ // 50  # 20 ms
_FLOOR_POWER: Final = 1e-8
"""-80 dB of full scale, about the noise of a 14-bit converter: cleaner than this is as good."""
_LEAST_PAUSE_FRAMES: Final = 10  # 0.2 s
_QUIET_SHARE: Final = 10  # per cent
_CLIPPED: Final = 0.99
_BAD_SNR_DB: Final = 0.0
_GOOD_SNR_DB: Final = 30.0
_INAUDIBLE_DB: Final = -60.0
_AUDIBLE_DB: Final = -40.0
_CLIPPING_SHARE: Final = 0.05
"""Share of clipped samples at which quality has fallen to 1/e."""


def audio_quality(samples: FloatArray, speech: NDArray[np.bool_]) -> float:
    """0-1: the product of three ramps, one each for signal to noise, level of the speech and clipping.

    `samples` (n,) float32 at 16 kHz, `speech` (n,) tells which of them are speech. 0 where nothing is said.
    """
    if not speech.any():
        return 0.0
    noise, level = noise_and_speech_power(samples, speech)
    snr_db = 10 * np.log10(max(level - noise, 1e-12) / noise)
    level_db = 10 * np.log10(max(level, 1e-12))
    clipped = float(np.mean(np.abs(samples) >= _CLIPPED))
    quality = _ramp(snr_db, _BAD_SNR_DB, _GOOD_SNR_DB) * _ramp(level_db, _INAUDIBLE_DB, _AUDIBLE_DB)
    return float(quality * np.exp(-clipped / _CLIPPING_SHARE))


def noise_and_speech_power(samples: FloatArray, speech: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean square of the noise and of the speech (which includes the noise).

    Noise is what sounds in the pauses; where there are too few of them, what sounds in the quietest tenth of the
    frames (minimum statistics, after R. Martin, IEEE Trans. Speech and Audio Processing 9, 2001). Frames of zeros are
    no pauses: a muted or lost stretch tells nothing of the room.
    """
    count = len(samples) // _FRAME
    frames = samples[: count * _FRAME].reshape(count, _FRAME)
    power: NDArray[np.float64] = np.mean(np.square(frames), axis=1, dtype=np.float64)
    spoken: NDArray[np.float64] = np.mean(speech[: count * _FRAME].reshape(count, _FRAME), axis=1)
    sounding = power > 0
    pauses = power[(spoken == 0) & sounding]
    if len(pauses) >= _LEAST_PAUSE_FRAMES:
        noise = float(np.median(pauses))
    else:
        noise = float(np.percentile(power[sounding], _QUIET_SHARE)) if sounding.any() else 0.0
    loud = power[spoken > 0.5]
    return max(noise, _FLOOR_POWER), float(np.mean(loud)) if len(loud) else 0.0


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))
