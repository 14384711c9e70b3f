"""The voice model as published: the frozen encoder, the corpus' scale and a small head."""

from typing import Final

import torch
from torch import Tensor, nn

from models.train.whisper_encoder import STATISTICS, WIDTH, WhisperEncoder

DEPTH: Final = 3
FEATURES: Final = DEPTH * STATISTICS * WIDTH
EMBEDDING: Final = 256


class VoiceHead(nn.Module):
    """(batch, 3456) pooled statistics -> `logits` (batch, labels), `embedding` (batch, 256)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.dropout = nn.Dropout(dropout)
        self.narrow = nn.Linear(FEATURES, EMBEDDING)
        self.classify = nn.Linear(EMBEDDING, labels)

    def fit_scale(self, features: Tensor) -> None:
        """Standardise as these (n, 3456) have it."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(1e-4))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        standard = self.dropout((features - self.mean) / self.deviation)
        embedding = torch.tanh(self.narrow(standard))
        return self.classify(self.dropout(embedding)), embedding


class VoiceModel(nn.Module):
    """`audio` (batch, 48000) float32, 16 kHz -> `logits` (batch, labels), `embedding` (batch, 256)."""

    def __init__(self, encoder: WhisperEncoder, head: VoiceHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        logits, embedding = self.head(self.encoder(audio))
        return logits, embedding
