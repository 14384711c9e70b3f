"""The engagement head: two convolutions over the last seconds and a line."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sidecar.fusion.engagement_head import FEATURES, LABELS

WIDTH: Final = 24
_KERNEL: Final = 5
_ESTIMATED: Final = FEATURES.index("estimated")


class EngagementModel(nn.Module):
    """About 7,000 parameters: few labels teach it, and it runs once a second and person.

    The convolutions look back only, over 13 seconds together; the newest second and the mean over the seconds that were
    estimated go to the last line.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.first = nn.Conv1d(len(FEATURES), width, _KERNEL)
        self.second = nn.Conv1d(width, width, _KERNEL, dilation=2)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(2 * width, len(LABELS))

    def forward(self, seconds: Tensor) -> Tensor:
        """(batch, 20, features) -> logits (batch, 4) over LABELS."""
        x = seconds.transpose(1, 2)  # (batch, features, 20)
        x = F.gelu(self.first(F.pad(x, (_KERNEL - 1, 0))))
        x = F.gelu(self.second(F.pad(x, (2 * (_KERNEL - 1), 0))))
        estimated = seconds[:, :, _ESTIMATED].unsqueeze(1)
        mean = (x * estimated).sum(2) / estimated.sum(2).clamp(min=1)
        logits: Tensor = self.last(self.drop(torch.cat([mean, x[:, :, -1]], 1)))
        return logits
