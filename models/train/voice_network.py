"""The networks that a voice recipe can train, each behind one contract: `audio` (batch, 48000) in, heads out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.train.hub_contract import Encoded
from models.train.recipe import Recipe


class VoiceEncoded(NamedTuple):
    """`logits` (batch, labels); `vad` (batch, 3): valence, arousal, dominance, -1..1; `embedding` (batch, width)."""

    logits: Tensor
    vad: Tensor
    embedding: Tensor


class VoiceNetwork(nn.Module):
    """A body under a categorical head and, where a corpus rates them, one for valence, arousal and dominance."""

    def __init__(self, body: nn.Module, width: int, labels: int, *, affect: bool, dropout: float = 0.3) -> None:
        super().__init__()
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.emotion = nn.Linear(width, labels)
        self.affect = nn.Linear(width, 3) if affect else None

    def forward(self, audio: Tensor) -> Encoded | VoiceEncoded:
        embedding = self.body(audio)
        features = self.dropout(embedding)
        if self.affect is None:
            return Encoded(self.emotion(features), embedding)
        return VoiceEncoded(self.emotion(features), torch.tanh(self.affect(features)), embedding)


Maker = Callable[[Recipe], tuple[nn.Module, int]]
"""From a recipe to a body, which pools (batch, 48000) to (batch, width), and that width."""
