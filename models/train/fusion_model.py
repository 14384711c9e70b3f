"""The learned fusions: an MLP over all modalities at once, and a transformer over one token a modality."""

from typing import Final

import torch
from torch import Tensor, nn

from sidecar.fusion.learned import WIDTH
from sidecar.types import EMOTIONS, Modality

COUNT: Final = len(Modality)


class FusionMlp(nn.Module):
    """`evidence` (batch, 3, 12) of `sidecar.fusion.learned.features` -> `logits` (batch, 8)."""

    def __init__(self, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(COUNT * WIDTH, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, len(EMOTIONS)),
        )

    def forward(self, evidence: Tensor) -> Tensor:
        logits: Tensor = self.layers(evidence)
        return logits


class FusionTransformer(nn.Module):
    """`evidence` (batch, 3, 12) -> `logits` (batch, 8): modalities attend to each other; absent ones are masked.

    The layout of Tsai et al. ("Multimodal transformer for unaligned multimodal language sequences", ACL 2019), shrunk
    to one token a modality, since each encoder has already read its own stretch of time, and a token that asks.
    """

    def __init__(self, width: int = 32, heads: int = 4, depth: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.token = nn.Linear(WIDTH, width)
        self.place = nn.Parameter(torch.randn(1 + COUNT, width) * 0.02)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(EMOTIONS)))

    def forward(self, evidence: Tensor) -> Tensor:
        present = (evidence[:, :, -1:] > 0).to(evidence.dtype)  # (batch, 3, 1): a weight above 0
        asking = torch.zeros_like(evidence[:, :1, :1]).expand(-1, 1, self.place.shape[1])
        hidden = torch.cat((asking, self.token(evidence)), 1) + self.place
        seen = torch.cat((torch.ones_like(present[:, :1]), present), 1)
        bias = (seen.transpose(1, 2).unsqueeze(1) - 1.0) * 1e4  # (batch, 1, 1, 4)
        for block in self.blocks:
            hidden = block(hidden, bias)
        logits: Tensor = self.head(hidden[:, 0])
        return logits


class _Block(nn.Module):
    """Attention and a feed-forward layer, normalised before each (Xiong et al., ICML 2020)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.forth = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        batch, tokens, width = hidden.shape
        parts = self.mix(self.before(hidden)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        shares = ((query @ key.transpose(-1, -2)) * (width // self.heads) ** -0.5 + bias).softmax(-1)
        mixed = (shares @ value).transpose(1, 2).reshape(batch, tokens, width)
        hidden = hidden + self.dropout(self.out(mixed))
        out: Tensor = hidden + self.dropout(self.forth(self.between(hidden)))
        return out
