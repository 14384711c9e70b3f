"""The voice model as published: a frozen encoder's pooled statistics and a linear head on them."""

import torch
from torch import Tensor, nn

from models.train.hub_contract import Encoded
from models.train.whisper_encoder import STATISTICS, WIDTH

DEPTH = 3
FEATURES = DEPTH * STATISTICS * WIDTH
EMBEDDING = 256


class VoiceHead(nn.Module):
    """(batch, 3456) pooled statistics -> `logits` (batch, labels), `embedding` (batch, 256).

    The embedding is the statistics' first principal components; the logits are linear in all of them.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int, features: int = FEATURES, embedding: int = EMBEDDING) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.narrow = nn.Linear(features, embedding, bias=False)
        self.classify = nn.Linear(features, labels)

    def standard(self, features: Tensor) -> Tensor:
        """Of mean 0 and deviation 1 over the training."""
        return (features - self.mean) / self.deviation

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        standard = self.standard(features)
        return self.classify(standard), self.narrow(standard)


class VoiceModel(nn.Module):
    """`audio` (batch, 48000) float32, 16 kHz -> `logits` (batch, labels), `embedding` (batch, 256)."""

    def __init__(self, encoder: nn.Module, head: VoiceHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, audio: Tensor) -> Encoded:
        return Encoded(*self.head(self.encoder(audio)))
