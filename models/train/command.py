"""What the training commands of faces, voices and texts have in common: their options, and how they fail."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import torch

from models.datasets.corpus import CorpusError
from models.export import PACK, ParityError
from models.train.checkpoints import CheckpointMismatch
from models.train.hub import CheckpointError
from models.train.loop import TrainingDiverged
from models.train.recipe import Recipe, RecipeError, read_recipe
from sidecar.errors import PackError

CACHE: Final = Path(__file__).parents[2] / ".cache"

_REFUSALS: Final = (
    CheckpointError,
    CheckpointMismatch,
    CorpusError,
    PackError,
    ParityError,
    RecipeError,
    TrainingDiverged,
)


def train_command(
    modality: Literal["face", "voice", "text"],
    follow: Callable[[Recipe, argparse.Namespace], None],
    *,
    doc: str | None,
    recipe: str,
    own_corpora: bool = True,
    threads: int = 1,
    arguments: Sequence[str] | None = None,
) -> int:
    """Read the command line and the recipe, and `follow` it: 0, or 1 where it cannot be followed, with the reason.

    `follow` finds `out`, `pack`, `resume` and `corpus` in the options; the recipe has been told the rest.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default=recipe, help="name in models/train/recipes, or a .toml file")
    if own_corpora:
        parser.add_argument(
            "--corpus",
            action="append",
            help="a name, NAME:PATH or folder:PATH instead of the recipe's; may be repeated",
        )
    else:
        parser.set_defaults(corpus=None)
    parser.add_argument("--checkpoint", help="folder in the hub's layout to start from")
    parser.add_argument("--epochs", type=int, help="train so long instead, where the recipe has a [schedule]")
    parser.add_argument(
        "--out", type=Path, default=CACHE / modality, help="folder of checkpoints, curves and what is computed once"
    )
    parser.add_argument("--pack", type=Path, default=PACK, help="pack to publish into; made whole where it is not")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--threads", type=int, default=threads, help="of this machine's cores")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        if options.corpus and options.pack.resolve() == PACK.resolve():
            raise RecipeError("with --corpus say --pack DIR: the repository's own pack is for its own recipes")
        told = read_recipe(options.recipe, modality).told(options.corpus, options.checkpoint, options.epochs)
        follow(told, options)
    except _REFUSALS as error:
        print(f"models.train.{modality}: {error}", file=sys.stderr)
        return 1
    return 0
