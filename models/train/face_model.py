"""A compact vision transformer for 48x48 grey faces: a convolutional stem, then a few blocks over 36 tokens.

The stem takes the place of patch embedding: early convolutions make small transformers learn faster on little data
(Xiao et al., "Early Convolutions Help Transformers See Better", NeurIPS 2021).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sidecar.types import EMOTIONS

SIZE_PX = 48
DARKEST_DEVIATION = 4.0
"""Grey levels; a crop with less contrast than this is not stretched further, which would show noise alone."""


class FaceOutputs(NamedTuple):
    """`logits` (batch, labels); `embedding` (batch, width)."""

    logits: Tensor
    embedding: Tensor


class RatedFaceOutputs(NamedTuple):
    """Also `vad` (batch, 3): valence, arousal and dominance, each -1..1."""

    logits: Tensor
    vad: Tensor
    embedding: Tensor


class Block(nn.Module):
    """Pre-norm attention and perceptron, each added to its input (batch, tokens, width)."""

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        x = x + self.projection(mixed)
        refined: Tensor = self.perceptron(self.perceptron_norm(x))
        return x + refined


class Residual(nn.Module):
    """Two convolutions added to their input (batch, width, side, side) (He et al., CVPR 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(*_convolution(width, width), *_convolution(width, width)[:2])

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.change(x)
        return F.relu(x + changed)


class FaceVit(nn.Module):
    """Luma 0-255 of aligned crops (batch, 1, side, side), of any real type, to expression logits and an embedding.

    `side` is a multiple of 8; the position embedding is stored for 48 and resampled for other sides, so that training
    may begin on small, cheap pictures.
    """

    def __init__(
        self,
        *,
        labels: int = len(EMOTIONS),
        width: int = 160,
        depth: int = 3,
        heads: int = 5,
        expansion: int = 2,
        stem: tuple[int, int, int] = (32, 64, 96),
        affect: bool = False,
    ) -> None:
        """`affect`: with a head for valence, arousal and dominance, for corpora that are rated."""
        super().__init__()
        first, second, third = stem
        self.stem = nn.Sequential(
            *_convolution(1, first, stride=2),
            *_convolution(first, first),
            *_convolution(first, second, stride=2),
            Residual(second),
            Residual(second),
            *_convolution(second, third),
            nn.Conv2d(third, width, 3, stride=2, padding=1),
        )
        self.positions = nn.Parameter(torch.randn(1, width, SIZE_PX // 8, SIZE_PX // 8) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads, expansion) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, labels)
        self.affect = nn.Linear(width, 3) if affect else None

    def forward(self, face: Tensor) -> FaceOutputs | RatedFaceOutputs:
        x = self.stem(standardised(face.float()))
        positions: Tensor = self.positions
        if x.shape[-1] != positions.shape[-1]:
            positions = F.interpolate(positions, x.shape[-2:], mode="bilinear")
        tokens = self.blocks((x + positions).flatten(2).transpose(1, 2))
        embedding = self.norm(tokens).mean(1)
        logits = self.head(self.dropout(embedding))
        if self.affect is None:
            return FaceOutputs(logits, embedding)
        return RatedFaceOutputs(logits, torch.tanh(self.affect(embedding)), embedding)


def standardised(face: Tensor) -> Tensor:
    """Each crop (batch, 1, side, side) with mean 0 and, unless it is all but uniform, deviation 1: undoes exposure."""
    centred = face - face.mean((1, 2, 3), keepdim=True)
    deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    return centred / deviation.clamp_min(DARKEST_DEVIATION)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
