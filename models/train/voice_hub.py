"""wav2vec2, HuBERT and WavLM from a checkpoint in the hub's layout, multilingual XLSR included, to be fine-tuned.

The layers are summed with learned weights (as SUPERB does, Yang et al., Interspeech 2021: emotion lies in the middle
ones), then pooled to mean and deviation over time. The convolutions stay frozen and the transformer moves at a
fraction of the rate of the heads.
"""

from pathlib import Path
from typing import Annotated, Any, cast

import torch
from msgspec import Meta
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.train.hub import CONFIG, CheckpointError, load_body, open_checkpoint
from models.train.hub_contract import normalised, speech_format
from models.train.recipe import Recipe, RecipeError
from sidecar.types import Options

FAMILIES = ("wav2vec2", "hubert", "wavlm")


class HubOptions(Options, frozen=True):
    """The `[options]` table of a recipe that fine-tunes."""

    body_rate: Annotated[float, Meta(ge=0, le=1)] = 0.05
    """Rate of the transformer over that of the heads; 0 freezes it."""


class PooledLayers(nn.Module):
    """(batch, 48000) float32 -> (batch, 2 x width): mean and deviation over time of the weighted sum of all layers."""

    def __init__(self, body: PreTrainedModel, *, normalise: bool, body_rate: float) -> None:
        super().__init__()
        self.speech = cast(nn.Module, body)
        self.normalise = normalise
        self.body_rate = body_rate
        self.layer_weights = nn.Parameter(torch.zeros(int(body.config.num_hidden_layers) + 1))
        self.width = 2 * int(body.config.hidden_size)
        for name, parameter in self.speech.named_parameters():
            if name.startswith("feature_extractor") or body_rate == 0:
                parameter.requires_grad_(False)

    def forward(self, audio: Tensor) -> Tensor:
        told = self.speech(normalised(audio) if self.normalise else audio, output_hidden_states=True)
        shares = self.layer_weights.softmax(0).view(-1, 1, 1, 1)
        hidden = (torch.stack(told.hidden_states) * shares).sum(0)
        mean = hidden.mean(1)
        deviation = (hidden - mean[:, None]).square().mean(1).clamp_min(1e-8).sqrt()
        return torch.cat((mean, deviation), 1)

    def groups(self) -> list[dict[str, Any]]:
        """The transformer at `body_rate`, the layers' weights at ten times the heads'."""
        learned = [each for each in self.speech.parameters() if each.requires_grad]
        return [{"params": learned, "scale": self.body_rate}, {"params": [self.layer_weights], "scale": 10.0}]


def make(recipe: Recipe) -> tuple[nn.Module, int]:
    """Raises `CheckpointError` and `RecipeError`."""
    if recipe.checkpoint is None:
        raise RecipeError(f"{recipe.name} starts from a checkpoint: --checkpoint FOLDER, as `hf download` leaves it")
    checkpoint = open_checkpoint(Path(recipe.checkpoint))
    if checkpoint.family != recipe.architecture:
        raise CheckpointError(
            f"{checkpoint.folder / CONFIG}, key 'model_type': {checkpoint.family!r}, but recipe {recipe.name} is for "
            f"{recipe.architecture!r}; choose the recipe of the checkpoint's family ({', '.join(FAMILIES)})"
        )
    options = recipe.options_as(HubOptions)
    form = speech_format(checkpoint)
    body = PooledLayers(load_body(checkpoint), normalise=form.do_normalize, body_rate=options.body_rate)
    return body, body.width
