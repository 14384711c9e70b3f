"""Speech as bad calls carry it, each flaw by itself and by degrees. Samples are float32, 16 kHz mono, -1..1."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

RATE_HZ: Final = 16_000
PACKET: Final = RATE_HZ // 50

Samples = NDArray[np.float32]
Random = np.random.Generator


def in_noise(samples: Samples, snr_db: float, random: Random) -> Samples:
    """Pink noise, whose power falls with frequency as that of rooms does, `snr_db` below the speech."""
    spectrum = np.fft.rfft(random.normal(0, 1, len(samples)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 60)), len(samples))
    ratio = np.sqrt(np.square(samples).mean() / np.square(noise).mean()) * 10 ** (-snr_db / 20)
    return _single(samples + noise * ratio)


def lossy(samples: Samples, share: float, random: Random) -> Samples:
    """Packets of 20 ms lost one by one and left silent: the worst case, without concealment."""
    whole = samples.copy()
    packets = whole[: len(whole) // PACKET * PACKET].reshape(-1, PACKET)
    packets[random.random(len(packets)) < share] = 0
    return whole


def by_telephone(samples: Samples, top_hz: float, _: Random) -> Samples:
    """Only 300 Hz to `top_hz`."""
    return _single(sosfilt(butter(4, (300, top_hz), "bandpass", fs=RATE_HZ, output="sos"), samples))


def in_a_room(samples: Samples, decay_s: float, random: Random) -> Samples:
    """Reverberation as loud as the direct sound, falling by 60 dB in `decay_s` (Polack's model, 1988)."""
    time_s = np.arange(int(decay_s * RATE_HZ)) / RATE_HZ
    tail = random.normal(0, 1, len(time_s)) * 10 ** (-3 * time_s / decay_s)
    tail /= np.sqrt(np.square(tail).sum())
    tail[0] += 1
    return _single(fftconvolve(samples, tail)[: len(samples)])


def quiet(samples: Samples, level_db: float, _: Random) -> Samples:
    """Scaled to `level_db` of root mean square below full scale, cut to 16 bits."""
    rms = float(np.sqrt(np.square(samples).mean())) or 1.0
    return _single(np.round(samples * (10 ** (level_db / 20) / rms) * 32_768).clip(-32_768, 32_767) / 32_768)


FLAWS: Final[Mapping[str, tuple[Callable[[Samples, float, Random], Samples], tuple[float, ...], str]]] = {
    "noise": (in_noise, (20, 10, 5, 0), "dB"),
    "packet_loss": (lossy, (0.05, 0.1, 0.2, 0.4), "lost"),
    "telephone": (by_telephone, (3400,), "Hz"),
    "reverberation": (in_a_room, (0.3, 0.6), "s"),
    "level": (quiet, (-20, -50), "dBFS"),
}
"""Name of the flaw: how, how much, in which unit."""


def _single(samples: NDArray[np.floating]) -> Samples:
    single: Samples = samples.astype(np.float32)
    return single
