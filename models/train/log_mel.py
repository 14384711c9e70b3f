"""Whisper's log-mel spectrogram as a torch module, so that it can lie inside the exported graph.

Radford et al., "Robust speech recognition via large-scale weak supervision" (2022), `whisper/audio.py` (MIT): 25 ms
Hann windows every 10 ms, reflected edges, 80 mel bands of the power spectrum, log10, no more than 8 below the
loudest of the clip, (x + 4) / 4.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE_HZ: Final = 16_000
WINDOW, HOP, BANDS = 400, 160, 80
_SLANEY_HZ, _SLANEY_MEL, _SLANEY_STEP = 1000.0, 15.0, 27.0 / np.log(6.4)


def mel_filters() -> NDArray[np.float32]:
    """(80, 201): triangles between bands equally far on Slaney's mel scale, each of area one over frequency.

    Slaney, "Auditory Toolbox" (1998): linear below 1000 Hz (15 mel), 27 mel for each factor of 6.4 above.
    """
    top = _SLANEY_MEL + _SLANEY_STEP * np.log(SAMPLE_RATE_HZ / 2 / _SLANEY_HZ)
    mel = np.linspace(0.0, top, BANDS + 2)
    linear = mel * _SLANEY_HZ / _SLANEY_MEL
    edges = np.where(mel < _SLANEY_MEL, linear, _SLANEY_HZ * np.exp((mel - _SLANEY_MEL) / _SLANEY_STEP))
    bins = np.linspace(0, SAMPLE_RATE_HZ / 2, WINDOW // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    filters: NDArray[np.float32] = triangles.astype(np.float32)
    return filters


def _fourier() -> NDArray[np.float32]:
    """(402, 1, 400): cosines, then sines, of the 201 frequencies under the Hann window."""
    angle = 2 * np.pi / WINDOW * np.outer(np.arange(WINDOW // 2 + 1), np.arange(WINDOW))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    waves: NDArray[np.float32] = (np.concatenate([np.cos(angle), np.sin(angle)]) * hann)[:, None].astype(np.float32)
    return waves


class LogMel(nn.Module):
    """(batch, samples) float32, 16 kHz, -1..1 -> (batch, 80, samples / 160)."""

    waves: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("waves", torch.from_numpy(_fourier()))
        self.register_buffer("filters", torch.from_numpy(mel_filters())[:, :, None])

    def forward(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio[:, None], (WINDOW // 2, WINDOW // 2), mode="reflect")
        # Whisper drops the frame that is centred on the end.
        spectrum = F.conv1d(padded[..., :-1], self.waves, stride=HOP)
        power = spectrum.square()
        power = power[:, : WINDOW // 2 + 1] + power[:, WINDOW // 2 + 1 :]
        decades = F.conv1d(power, self.filters).clamp_min(1e-10).log10()
        loudest = decades.amax((1, 2), keepdim=True)
        return (torch.maximum(decades, loudest - 8.0) + 4.0) / 4.0
