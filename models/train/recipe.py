"""Recipes: what to train, on what, how. They are TOML files: `models/train/recipes/NAME.toml`, or one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import field

from models.train.loop import Schedule
from models.train.losses import LossOptions
from sidecar.types import Options

Kind = TypeVar("Kind")

RECIPES: Final = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """A recipe that cannot be followed; the message names the file and the key."""


class Recipe(Options, frozen=True):
    """One recipe as read."""

    modality: Literal["face", "voice", "text", "fusion"]
    architecture: str
    """Which module: the modality's command says which there are."""
    corpora: tuple[str, ...]
    """Names of `models.datasets`, or `folder:PATH` for one's own."""
    name: str = ""
    """Of the file, without its ending."""
    checkpoint: str | None = None
    """Folder in the Hugging Face layout to start from."""
    schedule: Schedule | None = None
    """None for what is not learned by gradient descent."""
    loss: LossOptions = field(default_factory=LossOptions)
    augment: dict[str, float] = field(default_factory=dict)
    """Strengths by the names of the modality's augmentations; what is left out is as in the code."""
    options: dict[str, Any] = field(default_factory=dict)
    """The architecture's own arguments."""

    def told(
        self, corpora: Sequence[str] | None = None, checkpoint: str | None = None, epochs: int | None = None
    ) -> "Recipe":
        """The recipe with what the command line says instead."""
        schedule = self.schedule
        if schedule is not None and epochs is not None:
            schedule = msgspec.structs.replace(schedule, epochs=epochs)
        return msgspec.structs.replace(
            self,
            corpora=tuple(corpora) if corpora else self.corpora,
            checkpoint=checkpoint or self.checkpoint,
            schedule=schedule,
        )

    def options_as(self, kind: type[Kind]) -> Kind:
        """The table `[options]` as typed values. Raises `RecipeError` naming the key."""
        try:
            return msgspec.convert(self.options, kind)
        except msgspec.ValidationError as error:
            raise RecipeError(f"recipe {self.name}, table [options]: {error}; correct that key") from error

    def scheduled(self) -> Schedule:
        """The schedule. Raises `RecipeError` where the recipe has none."""
        if self.schedule is None:
            raise RecipeError(
                f"the {self.architecture} recipe lacks its table [schedule]: epochs and peak_rate at least"
            )
        return self.schedule


def read_recipe(name: str, modality: str) -> Recipe:
    """The recipe called `name`, or the file of that path. Raises `RecipeError`."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        recipe = msgspec.toml.decode(path.read_text("utf-8"), type=Recipe)
    except OSError as error:
        known = ", ".join(sorted(each.stem for each in RECIPES.glob(f"{modality}*.toml")))
        raise RecipeError(f"{path} cannot be read; recipes here: {known}; or name a .toml file") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise RecipeError(f"{path}: {error}; correct that key") from error
    if recipe.modality != modality:
        raise RecipeError(f"{path}: it is a {recipe.modality} recipe; run python -m models.train.{recipe.modality}")
    return msgspec.structs.replace(recipe, name=path.stem)
