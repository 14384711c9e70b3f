"""The trained text model into a pack: graph, tokenizer and manifest entry."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import tomlkit
import torch
from tokenizers import Tokenizer
from tomlkit.items import AoT
from torch import Tensor, nn

from models.datasets import goemotions
from models.datasets.catalogue import resolve
from models.datasets.goemotions import LABELS, TO_BASE
from models.export import PACK, Examples, Validation, publish_best
from models.export.kept import KEPT
from models.train.hub_entry import contract_entry
from models.train.recipe import Recipe
from sidecar.inference.manifest import MANIFEST, ExtraFile, ModelSpec
from sidecar.types import Modality

VERSION: Final = "2.0.0"
TOKENS: Final = 32
COMPARED: Final = 400
"""Texts by which precisions are compared."""
_CITED: Final = {"goemotions": "GoEmotions", "meld": "MELD", "emobank": "EmoBank", "sst2": "SST-2"}
_STARTS: Final = {"minilm": "all-MiniLM-L6-v2 (Apache-2.0)"}
_PREPROCESS: Final = (
    "Encode with the tokenizer file (special tokens added, cut to 128 tokens, a batch padded on the right to its "
    "longest text; all of it is in the file); ids to input_ids, attention mask to attention_mask. softmax of logits / "
    "temperature gives the native labels, summed by the map the base emotions. softmax of sentiment gives negative, "
    "neutral, positive, calibrated as they are; positive minus negative is the sentiment in -1..1."
)


def entry_for(recipe: Recipe, model: nn.Module) -> ModelSpec:
    """The manifest's entry of what the recipe trains. The default's licence is its starting point's."""
    start = _STARTS.get(recipe.architecture, f"checkpoint {Path(recipe.checkpoint or '').name}")
    licence = "Apache-2.0" if recipe.architecture == "minilm" else f"as of {start}"
    closed = [corpus for corpus, _ in map(resolve, recipe.corpora) if not corpus.commercial]
    command = f"python -m models.train.text --recipe {recipe.name}"
    return contract_entry(
        Modality.TEXT,
        model,
        _sample(),
        LABELS,
        name=recipe.name,
        version=VERSION,
        recipe=command if recipe.checkpoint is None else f"{command} --checkpoint FOLDER",
        licence="; ".join((licence, *(f"{corpus.name}: {corpus.licence}" for corpus in closed))),
        commercial=recipe.architecture == "minilm" and not closed,
        trained_on=(start, *(_CITED[corpus] for corpus in recipe.corpora)),
        preprocess=_PREPROCESS,
        map=TO_BASE,
    )


def publish_text(
    model: nn.Module, tokenizer: Tokenizer, entry: ModelSpec, validation: Validation, pack: Path = PACK
) -> ModelSpec:
    """Write weights, in the precision that `validation` finds best, tokenizer and entry into `pack`.

    Raises `ParityError`.
    """
    file = f"weights/{entry.name}-tokenizer.json"
    path = pack / file
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path), pretty=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = msgspec.structs.replace(entry, files=(ExtraFile(name="tokenizer", file=file, sha256=digest),))
    return publish_best(
        model,
        _sample(),
        entry,
        calibration=validation.examples,
        validation=validation,
        pack=pack,
        kept=KEPT if pack == PACK else pack / "export",
    )


def compared(tokenizer: Tokenizer) -> Validation:
    """Comments of GoEmotions dev with a single label and of at most 32 tokens, by which precisions are compared."""
    corpus = goemotions.load("dev")
    encoded = tokenizer.encode_batch(list(corpus.texts))
    fitting = [
        i for i, each in enumerate(encoded) if sum(each.attention_mask) <= TOKENS and corpus.labels[i].sum() == 1
    ]
    chosen = fitting[:COMPARED]
    ids, mask = (np.zeros((len(chosen), TOKENS), np.int64) for _ in range(2))
    for row, i in enumerate(chosen):
        length = sum(encoded[i].attention_mask)
        ids[row, :length], mask[row, :length] = encoded[i].ids[:length], 1
    # One text a call: under dynamic quantisation neighbours would alter each other's scale.
    examples = Examples({"input_ids": ids, "attention_mask": mask}, batch=1)
    return Validation(examples, corpus.labels[chosen].argmax(1))


def without_others(entry: ModelSpec, pack: Path) -> None:
    """Drop the pack's other text encoders from its manifest, so that the sidecar takes this one."""
    path = pack / MANIFEST
    document = tomlkit.parse(path.read_text("utf-8"))
    tables = document["model"]
    assert isinstance(tables, AoT)
    for table in [each for each in tables if each["modality"] == "text" and each["name"] != entry.name]:
        tables.remove(table)
    path.write_text(tomlkit.dumps(document), "utf-8")


def _sample() -> dict[str, Tensor]:
    """Two texts, one of them padded; ids that every vocabulary has."""
    ids = torch.randint(3, 90, (2, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    return {"input_ids": ids, "attention_mask": mask}
