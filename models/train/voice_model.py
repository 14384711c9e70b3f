"""The voice model as published: a frozen encoder's pooled statistics and a small head on them."""

import torch
from torch import Tensor, nn

from models.train.hub_contract import Encoded
from models.train.whisper_encoder import STATISTICS, WIDTH

DEPTH = 3
FEATURES = DEPTH * STATISTICS * WIDTH
HIDDEN = 128
MEMBERS = 2


class VoiceHead(nn.Module):
    """(batch, 3456) pooled statistics -> `logits` (batch, labels), `embedding` (batch, 256).

    The logits are those of a linear classifier plus the mean of two networks of 128 hidden units, and less one number
    for all labels alike: the mean square of the standardised statistics, 1 over the training. It changes no
    probability, but raises the free energy of what is unlike speech, of which such classifiers are else as sure as of
    speech. The embedding is the hidden units of the two.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int, features: int = FEATURES) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.linear = nn.Linear(features, labels)
        self.narrow = nn.Linear(features, MEMBERS * HIDDEN)
        self.classify = nn.Linear(MEMBERS * HIDDEN, labels)

    def standard(self, features: Tensor) -> Tensor:
        """Of mean 0 and deviation 1 over the training."""
        return (features - self.mean) / self.deviation

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        standard = self.standard(features)
        embedding = torch.tanh(self.narrow(standard))
        strangeness = standard.square().mean(1, keepdim=True)
        return self.linear(standard) + self.classify(embedding) - strangeness, embedding


class VoiceModel(nn.Module):
    """`audio` (batch, 48000) float32, 16 kHz -> `logits` (batch, labels), `embedding` (batch, 256)."""

    def __init__(self, encoder: nn.Module, head: VoiceHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, audio: Tensor) -> Encoded:
        return Encoded(*self.head(self.encoder(audio)))
