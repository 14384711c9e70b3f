"""What is odd about a stream's sound as a whole."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.sources.recording.mixing import Mixer
from sidecar.types import SAMPLE_RATE_HZ, FloatArray

_AUDIBLE: Final = 1e-6
"""Mean square of the quietest pieces that count: -60 dB of full scale."""
_QUIET: Final = 10**-4.5
_CLIPPED: Final = 0.99
_CLIPPED_SHARE: Final = 0.01
_LOW_HZ: Final = (2000, 3400)
_HIGH_HZ: Final = (4500, 7500)
_NARROW: Final = 1e-4
"""Energy of the high band relative to the low one. Of 188 clips of speech one had less than -40 dB; resampled from
8 kHz, all had less than -47 dB."""
_LEAST_S: Final = 1.0
_SPECTRUM: Final = 2048
_WINDOW: Final = np.hanning(_SPECTRUM).astype(np.float32)
_SPECTRUM_EVERY: Final = 2
"""Pieces of sound per spectrum."""


class Hearing:
    """Follows the mixed sound at 16 kHz."""

    def __init__(self) -> None:
        self.not_finite = 0
        """Samples of the file that were no numbers."""
        self._samples = self._clipped = self._pieces = 0
        self._audible_s = 0.0
        self._loudest = self._low = self._high = 0.0

    def hear(self, samples: FloatArray) -> None:
        """Take some samples (n,) float32, about a quarter of a second."""
        if len(samples) < SAMPLE_RATE_HZ // 50:
            return
        self._samples += len(samples)
        power = float(samples @ samples) / len(samples)
        self._loudest = max(self._loudest, power)
        if power < _AUDIBLE:
            return
        self._audible_s += len(samples) / SAMPLE_RATE_HZ
        self._clipped += int(np.count_nonzero(np.abs(samples) >= _CLIPPED))
        self._pieces += 1
        if self._pieces % _SPECTRUM_EVERY == 1 and len(samples) >= _SPECTRUM:
            spectrum = np.square(np.abs(np.fft.rfft(samples[:_SPECTRUM] * _WINDOW)))
            self._low += _band(spectrum, _LOW_HZ)
            self._high += _band(spectrum, _HIGH_HZ)

    def notes(self, mixers: Sequence[Mixer]) -> Iterator[str]:
        """Sentences without a subject, for the operator."""
        if self.not_finite:
            yield f"{self.not_finite} samples are not numbers and were replaced"
        if sum(mixer.cancelled_s for mixer in mixers) > 0.5:
            yield "the channels cancel each other when mixed; one of them was read alone"
        if any(mixer.one_speaker_each for mixer in mixers):
            yield "each channel seems to hold another speaker; the mix was read as one person"
        elif silent := max((mixer.silent for mixer in mixers), default=0):
            yield f"{silent} of the channels are silent and were left out"
        if sum(mixer.offset_s for mixer in mixers) > _LEAST_S:
            yield "a constant offset was removed"
        yield from self._notes_on_level()

    def _notes_on_level(self) -> Iterator[str]:
        if self._samples and not self._loudest:
            yield "it is digital silence throughout"
        elif self._samples and self._loudest < _QUIET:
            yield "it is very quiet, below -45 dB of full scale throughout; speech may be missed"
        if self._clipped > _CLIPPED_SHARE * self._audible_s * SAMPLE_RATE_HZ > 0:
            yield "it is overdriven: more than 1 % of the samples are clipped"
        if self._audible_s >= _LEAST_S and self._high < _NARROW * self._low:
            yield "it has no frequencies above 4 kHz, as on a telephone; the voice is read less surely"


def _band(spectrum: NDArray[np.floating], hz: tuple[int, int]) -> float:
    low, high = (each * _SPECTRUM // SAMPLE_RATE_HZ for each in hz)
    return float(spectrum[low:high].sum())
