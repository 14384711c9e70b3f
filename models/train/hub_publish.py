"""Puts a fine-tuned checkpoint of the hub in a pack: `python -m models.export checkpoint FOLDER --name NAME ...`.

FOLDER is in the hub's layout (see `models/train/hub.py`) and carries a classification head: a face network (ViT), a
speech network (wav2vec2, HuBERT, WavLM) or a text network (RoBERTa, DistilRoBERTa, ModernBERT, BERT). What its
preprocessor does goes inside the graph. The pack is made whole where there is none, so that

    sidecar analyze FILE --consent face,voice --pack DIR

runs it over a recording, in the place of the default encoder of that modality.
"""

import argparse
import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from models.export import PRECISIONS, prefer, publish
from models.train.hub import (
    CONFIG,
    TOKENIZER,
    Checkpoint,
    CheckpointError,
    load_classifier,
    open_checkpoint,
)
from models.train.hub_contract import FaceContract, TextContract, VoiceContract, picture_format, speech_format
from models.train.hub_entry import contract_entry
from models.train.own_pack import begin_pack
from sidecar.inference.manifest import ExtraFile, ModelSpec
from sidecar.types import EMOTIONS, Modality

_FAMILIES: Final[Mapping[str, Modality]] = {
    "vit": Modality.FACE,
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm"), Modality.VOICE),
    **dict.fromkeys(("bert", "distilbert", "roberta", "modernbert"), Modality.TEXT),
}


def under_contract(checkpoint: Checkpoint) -> tuple[Modality, nn.Module, dict[str, Tensor]]:
    """The modality, the trained network under its contract, and a batch of two. Raises `CheckpointError`."""
    modality = _FAMILIES.get(checkpoint.family)
    if modality is Modality.FACE:
        form = picture_format(checkpoint)
        face = FaceContract(load_classifier(checkpoint, "ImageClassification"), form)
        return modality, face, {"face": torch.randint(0, 256, (2, 1, 48, 48), dtype=torch.uint8)}
    if modality is Modality.VOICE:
        sound = speech_format(checkpoint)
        voice = VoiceContract(load_classifier(checkpoint, "AudioClassification"), sound)
        return modality, voice, {"audio": torch.randn(2, 48_000) * 0.1}
    if modality is Modality.TEXT:
        text = TextContract(load_classifier(checkpoint, "SequenceClassification"))
        ids = torch.randint(5, checkpoint.config.vocab_size, (2, 16))
        return modality, text, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    raise CheckpointError(
        f"{checkpoint.folder / CONFIG}, key 'model_type': no contract for {checkpoint.family!r}; there are "
        f"{', '.join(_FAMILIES)}"
    )


def tokenizer_file(checkpoint: Checkpoint, name: str, pack: Path) -> ExtraFile:
    """Copy the tokenizer into the pack. Raises `CheckpointError` where the checkpoint has none."""
    source, file = checkpoint.folder / TOKENIZER, f"weights/{name}-tokenizer.json"
    if not source.exists():
        raise CheckpointError(
            f"{source}: is missing; save it with AutoTokenizer.from_pretrained(...).save_pretrained({source.parent})"
        )
    shutil.copyfile(source, pack / file)
    return ExtraFile(name="tokenizer", file=file, sha256=hashlib.sha256(source.read_bytes()).hexdigest())


def base_emotions(told: str, labels: Sequence[str], where: Path) -> dict[str, str]:
    """`joy=happiness,...` as a table. Raises `CheckpointError` unless it maps exactly the labels to base emotions."""
    table = dict(pair.split("=", 1) for pair in told.split(",") if "=" in pair)
    if set(table) != set(labels):
        raise CheckpointError(f"--map: must name exactly the labels of {where / CONFIG}: {', '.join(labels)}")
    if strange := set(table.values()) - set(EMOTIONS):
        raise CheckpointError(f"--map: {', '.join(sorted(strange))}: not one of {', '.join(EMOTIONS)}")
    return table


def publish_checkpoint(told: argparse.Namespace) -> ModelSpec:
    """Load, export, publish. Raises `CheckpointError`, `ParityError`, `PackError`."""
    checkpoint = open_checkpoint(told.folder)
    modality, module, sample = under_contract(checkpoint)
    table = base_emotions(told.map, checkpoint.labels, told.folder)
    pack = begin_pack(told.pack)
    entry = contract_entry(
        modality,
        module,
        sample,
        checkpoint.labels,
        name=told.name,
        version=told.version,
        recipe=f"python -m models.export checkpoint {told.folder.name} --name {told.name}",
        licence=told.licence,
        commercial=told.commercial,
        trained_on=tuple(told.trained_on.split(",")),
        map=table,
        files=(tokenizer_file(checkpoint, told.name, pack),) if modality is Modality.TEXT else (),
        languages=tuple(told.languages.split(",")),
    )
    entry = publish(module, sample, entry, precision=told.precision, pack=pack)
    prefer(entry.name, pack)
    return entry


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where the checkpoint will not do."""
    parser = argparse.ArgumentParser(
        prog="python -m models.export checkpoint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--name", required=True, help="of the model in the manifest")
    parser.add_argument("--map", required=True, help="base emotion of each label: ang=anger,hap=happiness")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="made whole where there is none")
    parser.add_argument("--commercial", action="store_true", help="the licence allows commercial use")
    parser.add_argument("--trained-on", default="unknown", help="corpora, split on commas")
    parser.add_argument("--languages", default="en", help="that a text network reads, ISO 639-1, split on commas")
    parser.add_argument("--version", default="1")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    try:
        publish_checkpoint(parser.parse_args(arguments))
    except CheckpointError as error:
        print(f"models.export: {error}", file=sys.stderr)
        return 1
    return 0
