"""Recipes whose encoder stays as it is: statistics of every clip once, then a head on them in seconds.

What the head reaches is shown and calibrated with the validation speakers left out; the published one is fitted anew
with them. The temperature is fitted on their clips one by one and once more as the product hears them, with the running
statistics of the speaker: a call begins in the one way and goes on in the other.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from torch import nn

from models.evaluate.voice import in_turn
from models.export import PACK
from models.train.recipe import Recipe
from models.train.voice_calibration import calibrate, fit_temperature
from models.train.voice_cases import Material
from models.train.voice_distil import trained_front_end
from models.train.voice_features import Statistics
from models.train.voice_head import Examples, HeadOptions, fit, logits_of, recall
from models.train.voice_model import DEPTH, VoiceModel
from models.train.voice_publish import SPEAKER, Origin, publish_voice, voice_entry
from models.train.wav2vec2_compact import CompactWav2Vec2
from models.train.whisper_encoder import WhisperEncoder
from sidecar.inference.manifest import ModelSpec

WHISPER: Final = "Whisper tiny.en, MIT"


def whisper() -> nn.Module:
    """Whisper-tiny's first layers on its own log-mel spectrogram."""
    return WhisperEncoder.pretrained(DEPTH)


def wav2vec2() -> nn.Module:
    """The same layers on a waveform front end. Raises `RecipeError` before `models.train.voice_distil` has run."""
    return CompactWav2Vec2(trained_front_end(), WhisperEncoder.pretrained(DEPTH)).eval()


FROZEN: Final[dict[str, tuple[str, Callable[[], nn.Module]]]] = {
    "whisper-head": ("voice-whisper", whisper),
    "wav2vec2-compact": ("voice-wav2vec2", wav2vec2),
}
"""Architecture to the model's name in the manifest and its encoder."""


def train_frozen(recipe: Recipe, material: Material, out: Path, pack: Path = PACK) -> ModelSpec:
    """Statistics, validation, calibration, final fit, publication."""
    options: HeadOptions = recipe.options_as(HeadOptions)
    name, make = FROZEN[recipe.architecture]
    encoder = make()
    known = Statistics(encoder, name, _cache(recipe, out, encoder))
    training = known.examples(material.train, material.labels, other_voices=options.other_voices)
    held_out = known.examples(material.valid, material.labels)
    tried = logits_of(fit(training, options), held_out)
    _tell(tried, held_out)
    model = VoiceModel(encoder, fit(training + held_out, options))
    origin = Origin(name, f"python -m models.train.voice --recipe {recipe.name}", WHISPER)
    first = calibrate(tried, held_out.targets, held_out.weights, training.prior())
    entry = voice_entry(model, material, origin, first, notes=SPEAKER)
    temperature = fit_temperature(
        np.concatenate((tried, in_turn(entry, tried, held_out.speakers.tolist()))),
        np.tile(held_out.targets, (2, 1)),
        np.tile(held_out.weights, 2),
    )
    both = calibrate(tried, held_out.targets, held_out.weights, training.prior(), temperature)
    return publish_voice(model, msgspec.structs.replace(entry, calibration=both), material, pack)


def _cache(recipe: Recipe, out: Path, encoder: nn.Module) -> Path:
    """A folder of each encoder's own; one that was trained here has another after each training."""
    if recipe.architecture == "whisper-head":
        return out
    digest = hashlib.sha256()
    for value in encoder.state_dict().values():
        digest.update(value.numpy().tobytes())
    return out / f"{recipe.architecture}-{digest.hexdigest()[:12]}"


def _tell(logits: np.ndarray, examples: Examples) -> None:
    for corpus in np.unique(examples.corpora):
        rows = examples.corpora == corpus
        print(f"{corpus}, validation speakers: UAR {recall(logits[rows], examples.targets[rows]):.3f}")
