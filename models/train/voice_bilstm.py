"""A bidirectional LSTM over the log-mel spectrogram with attention over time.

After Mirsamadi, Barsoum and Zhang, "Automatic speech emotion recognition using recurrent neural networks with local
attention" (ICASSP 2017): a learned score says how much each moment counts.
"""

from torch import Tensor, nn

from models.train.log_mel import BANDS, LogMel
from models.train.recipe import Recipe
from sidecar.types import Options


class BiLstmOptions(Options, frozen=True):
    """The `[options]` table of a `bilstm-attention`."""

    hidden: int = 128
    layers: int = 2
    stack: int = 2
    """Frames of 10 ms that are read at once."""


class BiLstmAttention(nn.Module):
    """(batch, 48000) float32 -> (batch, 2 x hidden): the mean over time, weighted by attention."""

    def __init__(self, options: BiLstmOptions) -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.stack = options.stack
        self.lstm = nn.LSTM(BANDS * options.stack, options.hidden, options.layers, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * options.hidden, 1)
        self.width = 2 * options.hidden

    def forward(self, audio: Tensor) -> Tensor:
        frames = self.log_mel(audio).transpose(1, 2)  # (batch, time, bands)
        frames = frames[:, : frames.shape[1] // self.stack * self.stack]
        hidden, _ = self.lstm(frames.reshape(frames.shape[0], -1, BANDS * self.stack))
        attention = self.score(hidden).softmax(1)
        pooled: Tensor = (attention * hidden).sum(1)
        return pooled


def make(recipe: Recipe) -> tuple[nn.Module, int]:
    """Raises `RecipeError`."""
    body = BiLstmAttention(recipe.options_as(BiLstmOptions))
    return body, body.width
