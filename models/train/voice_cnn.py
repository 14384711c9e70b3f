"""A convolutional network over the log-mel spectrogram: small, from nothing, a floor for everything pretrained."""

import torch
from torch import Tensor, nn

from models.train.log_mel import BANDS, LogMel
from models.train.recipe import Recipe
from sidecar.types import Options


class CnnOptions(Options, frozen=True):
    """The `[options]` table of a `log-mel-cnn`."""

    channels: tuple[int, ...] = (32, 64, 128, 192)
    """Of the blocks, each of which halves time and frequency."""


class LogMelCnn(nn.Module):
    """(batch, 48000) float32 -> (batch, 2 x channels): mean and maximum over time of what the last block gives."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.log_mel = LogMel()
        blocks: list[nn.Module] = []
        for before, after in zip((1, *channels), channels, strict=False):
            blocks += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            blocks += [nn.AvgPool2d(2)]
        self.blocks = nn.Sequential(*blocks)
        self.width = 2 * channels[-1]

    def forward(self, audio: Tensor) -> Tensor:
        assert BANDS >> len(self.blocks) // 4 > 0
        hidden = self.blocks(self.log_mel(audio)[:, None]).mean(2)  # (batch, channels, time)
        return torch.cat((hidden.mean(2), hidden.amax(2)), 1)


def make(recipe: Recipe) -> tuple[nn.Module, int]:
    """Raises `RecipeError`."""
    body = LogMelCnn(recipe.options_as(CnnOptions).channels)
    return body, body.width
