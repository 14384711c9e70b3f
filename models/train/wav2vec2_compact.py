"""A compact wav2vec2: a learned waveform front end under Whisper-tiny's first transformer layers.

wav2vec 2.0 (Baevski et al., NeurIPS 2020) is convolutions over the waveform, then a transformer as context network, at
50 frames a second; so is this. Its convolutions begin as Gabor filters whose energy is compressed by a logarithm, as in
LEAF (Zeghidour et al., ICLR 2021): 256 filters of 25 ms cost a fifth of wav2vec2's seven layers and need minutes of
training, not weeks. `voice_distil` regresses them onto Whisper's stem; the context network is then Whisper's own.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.train.whisper_encoder import POSITIONS, WIDTH, WhisperEncoder, pooled

SAMPLE_RATE_HZ: Final = 16_000
TAPS, HOP, BANDS = 400, 160, 128
_FLOOR: Final = 1e-5
"""Energy added under the logarithm, of a window of variance 1."""


class WaveformFrontEnd(nn.Module):
    """(batch, 48000) float32 -> (batch, 150, 384), what Whisper's stem makes of it before positions are added."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, 2 * BANDS, TAPS, stride=HOP, padding=TAPS // 2, bias=False)
        self.filters.weight.data.copy_(torch.from_numpy(gabor_filters()))
        self.norm = nn.BatchNorm1d(BANDS)
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)

    def forward(self, audio: Tensor) -> Tensor:
        centred = audio - audio.mean(1, keepdim=True)
        level = (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()
        heard = self.filters((centred / level)[:, None])[..., : audio.shape[1] // HOP]
        energy = heard.square()
        energy = energy[:, :BANDS] + energy[:, BANDS:]
        hidden = F.gelu(self.conv1(self.norm((energy + _FLOOR).log())))
        return F.gelu(self.conv2(hidden)).transpose(1, 2)


class CompactWav2Vec2(nn.Module):
    """(batch, 48000) float32 -> pooled statistics (batch, layers * 3 * 384), as `WhisperEncoder` gives them."""

    positions: Tensor

    def __init__(self, front_end: WaveformFrontEnd, context: WhisperEncoder) -> None:
        super().__init__()
        self.front_end = front_end
        self.layers = context.layers
        self.register_buffer("positions", context.positions)

    def forward(self, audio: Tensor) -> Tensor:
        hidden = self.front_end(audio) + self.positions
        parts = []
        for layer in self.layers:
            hidden = layer(hidden)
            parts += pooled(hidden)
        return torch.cat(parts, -1)


def stem(encoder: WhisperEncoder, audio: Tensor) -> Tensor:
    """(batch, 150, 384): what the front end is to give."""
    hidden = F.gelu(encoder.conv2(F.gelu(encoder.conv1(encoder.log_mel(audio)))))
    assert hidden.shape[2] == POSITIONS
    return hidden.transpose(1, 2)


def gabor_filters() -> NDArray[np.float32]:
    """(256, 1, 400): cosines, then sines, at 128 centres equally far in mel, as wide as their bands, of norm 1."""
    top_mel = 2595 * np.log10(1 + 8000 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, BANDS + 2) / 2595) - 1)
    centre_hz, band_hz = edges_hz[1:-1, None], (edges_hz[2:] - edges_hz[:-2])[:, None] / 2
    time_s = (np.arange(TAPS) - TAPS / 2) / SAMPLE_RATE_HZ
    width_s = np.minimum(0.44 / band_hz, TAPS / SAMPLE_RATE_HZ / 5)  # time and band of a Gaussian at half power
    envelope = np.exp(-0.5 * (time_s / width_s) ** 2)
    phase = 2 * np.pi * centre_hz * time_s
    waves = np.concatenate([envelope * np.cos(phase), envelope * np.sin(phase)])
    waves /= np.linalg.norm(np.tile(envelope, (2, 1)), axis=1, keepdims=True)
    filters: NDArray[np.float32] = waves[:, None].astype(np.float32)
    return filters
