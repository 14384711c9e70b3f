"""Trains a voice encoder: `python -m models.train.voice --recipe voice-whisper-head`.

The default recipe fits a head on Whisper-tiny's early layers, which stay as they are: a quarter of an hour of one core
for their statistics, which `.cache/voice` keeps, and a minute for the head. It publishes into the repository's pack.

    python -m models.train.voice --corpus folder:/my/clips --pack my-pack
    sidecar analyze CALL.mp4 --consent voice --pack my-pack

trains the same on one's own clips (a folder for each class, see `models/datasets/folder.py`) and leaves a whole pack.
Several `--corpus` are learned together: `--corpus ravdess --corpus nemo --corpus folder:/my/clips`. All of a network
learns under the recipes that say so:

    python -m models.train.voice --recipe voice-wavlm-finetune --checkpoint FOLDER --out runs/a --pack runs/a/pack

FOLDER is what `hf download OWNER/NAME --local-dir FOLDER` leaves. Stopped, it goes on with `--resume`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from models.datasets import emodb, ravdess
from models.evaluate import voice as evaluation
from models.evaluate.answers import figures
from models.evaluate.encoders import encoder, open_model
from models.train import voice_bilstm, voice_cnn, voice_hub
from models.train.command import train_command
from models.train.recipe import Recipe, RecipeError
from models.train.voice_cases import Material, assemble
from models.train.voice_egemaps import train_egemaps
from models.train.voice_frozen import FROZEN, train_frozen
from models.train.voice_network import Maker
from models.train.voice_publish import keep_figures
from models.train.voice_task import train_network
from sidecar.types import Modality

NETWORKS: Final[Mapping[str, Maker]] = {
    "log-mel-cnn": voice_cnn.make,
    "bilstm-attention": voice_bilstm.make,
    **dict.fromkeys(voice_hub.FAMILIES, voice_hub.make),
}


def train(recipe: Recipe, material: Material, out: Path, pack: Path, *, resume: bool = False) -> str | None:
    """Follow the recipe and publish; the name in the manifest, or None where nothing can be published.

    Raises `RecipeError`, `CheckpointError`, `TrainingDiverged`.
    """
    if recipe.architecture == "egemaps-svm":
        train_egemaps(recipe, material, out)
        return None
    if recipe.architecture in FROZEN:
        return train_frozen(recipe, material, out, pack).name
    if recipe.architecture not in NETWORKS:
        known = ", ".join(sorted((*NETWORKS, *FROZEN, "egemaps-svm")))
        raise RecipeError(f"recipe {recipe.name}: no voice architecture {recipe.architecture!r}; there are {known}")
    return train_network(recipe, NETWORKS[recipe.architecture], material, out, pack, resume=resume).name


def figures_of(name: str, pack: Path) -> dict[str, float]:
    """Figures of the evaluation, of the file as published, in every way it is scored."""
    model = open_model(encoder(Modality.VOICE, pack, name), pack)
    heads = [head for way in evaluation.WAYS for head in evaluation.heads(model, way)]
    spoken = ravdess.load("test"), tuple(clip for clip in emodb.load() if clip.emotion in emodb.FOUR)
    english, german = (evaluation.logits_of(model, clips, "clip") for clips in spoken)
    heads += evaluation.adapted_heads(model, spoken, (english, german))
    return {figure: value for head in heads for figure, value in figures(head).items()}


def follow(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train and publish; then, of the published recipes, the figures. Raises what `assemble` and `train` raise."""
    name = train(recipe, assemble(recipe.corpora), options.out, options.pack, resume=options.resume)
    if name is not None and not options.corpus:
        keep_figures(name, figures_of(name, options.pack), options.pack)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where the recipe cannot be followed, with the reason."""
    return train_command("voice", follow, doc=__doc__, recipe="voice-whisper-head", arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
