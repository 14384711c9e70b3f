"""Trains a text encoder: `python -m models.train.text --recipe text-minilm`.

The default recipe fine-tunes MiniLM for sentiment, affect and emotions, on one core in under an hour, and publishes
into the repository's pack; `--resume` goes on from the last checkpoint in `--out`. Another network, from a folder
in the hub's layout:

    python -m models.train.text --recipe text-distilroberta --checkpoint FOLDER --out runs/words --pack runs/words/pack

leaves a whole pack that `sidecar analyze --pack` runs.

How the committed weights came about: of the first stage of `text-minilm`, planned for 2 epochs and shortened to 1.4 at
step 1600, they saw 1800 of 1957 steps, when its rate was at a twelfth of the peak; the second stage ran in full.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.datasets import meld
from models.evaluate import text as evaluation
from models.evaluate.encoders import open_model
from models.evaluate.metrics import weighted_f1
from models.evaluate.text_scores import Predict, TextOutputs
from models.export import record
from models.train.checkpoints import fingerprint, load
from models.train.command import train_command
from models.train.hub import open_checkpoint
from models.train.hub_contract import TextHeads
from models.train.loop import fit
from models.train.own_pack import begin_pack
from models.train.recipe import Recipe, RecipeError
from models.train.text_cache import BATCH, hidden_states
from models.train.text_calibration import (
    cool_sentiment,
    fit_emotion_temperature,
    fit_sentiment_temperature,
    label_prior,
)
from models.train.text_cases import CORPORA, assemble
from models.train.text_hub import HubOptions, TextTask, build
from models.train.text_loop import Material, Stage, Validate, train
from models.train.text_losses import TextLoss
from models.train.text_model import TextModel, load_tokenizer
from models.train.text_publish import compared, entry_for, publish_text, without_others
from sidecar.inference.manifest import Calibration
from sidecar.types import EMOTIONS, Options


class MinilmOptions(Options, frozen=True):
    """The `[options]` table of a recipe of architecture `minilm`."""

    stages: tuple[Stage, ...]
    frozen_layers: int = 3
    sst2_phrases: int = 28_000


@dataclass(frozen=True, slots=True)
class Trained:
    """What a recipe leaves, before it is calibrated."""

    model: TextModel | TextHeads
    tokenizer: Tokenizer
    prior: tuple[float, ...]
    """Shares of the labels in the last of the training."""


def predictor(model: nn.Module, tokenizer: Tokenizer) -> Predict:
    """The torch model as evaluation calls it."""

    @torch.no_grad()
    def predict(texts: Sequence[str]) -> TextOutputs:
        model.eval()
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts: list[tuple[Tensor, ...]] = []
        for start in range(0, len(order), BATCH):
            encoded = tokenizer.encode_batch([texts[i] for i in order[start : start + BATCH]])
            ids = torch.tensor([e.ids for e in encoded])
            parts.append(model(ids, torch.tensor([e.attention_mask for e in encoded]))[:3])
        back = np.argsort(order)
        return TextOutputs(*(torch.cat(column).numpy()[back] for column in zip(*parts, strict=True)))

    return predict


def train_minilm(recipe: Recipe, out: Path, *, resume: bool) -> Trained:
    """Stage after stage. Raises `RecipeError`, `TrainingDiverged`, `CheckpointMismatch`."""
    options = recipe.options_as(MinilmOptions)
    cases = assemble("train", options.sst2_phrases, recipe.corpora)
    tokenizer, model = load_tokenizer(), TextModel.pretrained(options.frozen_layers)
    made_from = fingerprint(recipe, cases, model)
    files = [out / f"{recipe.name}-{stage.name}.pt" for stage in options.stages]
    for file in files:  # before the hours of work
        if resume:
            load(file, made_from)
        else:
            file.unlink(missing_ok=True)
    hidden = hidden_states(model, tokenizer, cases.texts, out)
    material = Material(hidden, cases, TextLoss(cases, recipe.loss))
    for stage, file in zip(options.stages, files, strict=True):
        train(model, material, stage, file, _watch(tokenizer), made_from=made_from, resume=resume)
    repeat = np.array([options.stages[-1].repeat.get(CORPORA[i], 0.0) for i in cases.corpus])
    return Trained(model, tokenizer, label_prior(cases, repeat))


def train_hub(recipe: Recipe, out: Path, *, resume: bool) -> Trained:
    """All of a checkpoint's network. Raises `CheckpointError`, `RecipeError`, `TrainingDiverged`."""
    if recipe.checkpoint is None:
        raise RecipeError(f"{recipe.name} starts from a checkpoint: --checkpoint FOLDER, as `hf download` leaves it")
    options, schedule = recipe.options_as(HubOptions), recipe.scheduled()
    torch.manual_seed(schedule.seed)
    model, tokenizer = build(open_checkpoint(Path(recipe.checkpoint)), options)
    cases = {split: assemble(split, options.sst2_phrases, recipe.corpora) for split in ("train", "dev")}
    task = TextTask(model, tokenizer, cases, schedule, TextLoss(cases["train"], recipe.loss, options.affect))
    fit(task, schedule, out, resume=resume, made_from=(recipe, cases))
    return Trained(model, tokenizer, label_prior(cases["train"], np.ones(len(cases["train"].texts))))


def finish(trained: Trained, recipe: Recipe, pack: Path) -> dict[str, float]:
    """Calibrate and publish, then score what was published, on the runtime that will run it; the test figures."""
    model, tokenizer = trained.model, trained.tokenizer
    predict = predictor(model, tokenizer)
    cool_sentiment(model.sentiment, fit_sentiment_temperature(predict))
    entry = publish_text(model, tokenizer, entry_for(recipe, model), compared(tokenizer), pack)
    shipped = evaluation.predictor(open_model(entry, pack), tokenizer)
    temperature = round(fit_emotion_temperature(shipped), 4)
    record(entry.name, pack, calibration=Calibration(temperature=temperature, prior=trained.prior))
    if recipe.architecture == "hub":
        without_others(entry, pack)
    figures = {name: round(value, 4) for name, value in evaluation.evaluate(pack).items()}
    record(entry.name, pack, metrics=figures)
    return figures


def _watch(tokenizer: Tokenizer) -> Validate:
    """What is printed on the way: how well the words of MELD dev are read."""
    corpus = meld.load("dev")
    columns = [EMOTIONS.index(meld.TO_BASE[label]) for label in meld.LABELS]

    def watch(model: TextModel) -> dict[str, float]:
        said = predictor(model, tokenizer)(corpus.texts).emotions(1.0)[:, columns].argmax(1)
        return {"meld_dev_weighted_f1": weighted_f1(corpus.labels, said)}

    return watch


def follow(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train, calibrate on dev, publish into the pack and score. Raises `RecipeError` and what the trainings raise."""
    torch.manual_seed(0)
    begin_pack(options.pack)
    if recipe.architecture == "minilm":
        trained = train_minilm(recipe, options.out, resume=options.resume)
    elif recipe.architecture == "hub":
        trained = train_hub(recipe, options.out, resume=options.resume)
    else:
        raise RecipeError(f"no text architecture {recipe.architecture!r}; there are minilm and hub")
    print(finish(trained, recipe, options.pack))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where the recipe cannot be followed, with the reason."""
    return train_command("text", follow, doc=__doc__, recipe="text-minilm", own_corpora=False, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
