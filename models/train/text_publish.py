"""The trained text model into the pack: graph, tokenizer and manifest entry."""

import hashlib
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer

from models.datasets.goemotions import LABELS, TO_BASE
from models.export import PACK, UNKNOWN_SHA256, publish
from models.train.text_model import TextModel
from sidecar.inference.manifest import Calibration, ExtraFile, InputSpec, ModelSpec, OutputSpec
from sidecar.types import Modality

NAME: Final = "text-minilm"
TOKENIZER: Final = f"weights/{NAME}-tokenizer.json"

_PREPROCESS: Final = (
    "Encode with the tokenizer file (WordPiece, lower-casing, [CLS] and [SEP] added, cut to 128 tokens, a batch padded "
    "on the right with id 0 to its longest text; all of it is in the file); ids to input_ids, attention mask to "
    "attention_mask. softmax of logits / temperature gives the native labels, summed by the map the base emotions. "
    "softmax of sentiment gives negative, neutral, positive; positive minus negative is the sentiment in -1..1."
)
_INPUTS: Final = (
    InputSpec(name="input_ids", shape=("batch", "tokens"), type="int64", units="ids of the tokenizer, 0 pads"),
    InputSpec(name="attention_mask", shape=("batch", "tokens"), type="int64", units="1 token, 0 padding"),
)
_OUTPUTS: Final = (
    OutputSpec(name="sentiment", shape=("batch", 3), units="logits of negative, neutral, positive"),
    OutputSpec(name="vad", shape=("batch", 3), units="valence, arousal, dominance, each -1..1"),
    OutputSpec(name="logits", shape=("batch", len(LABELS)), units="logits of the labels"),
    OutputSpec(name="embedding", shape=("batch", 384), units="mean of the last layer over the tokens"),
)


def publish_text(
    model: TextModel, tokenizer: Tokenizer, calibration: Calibration, version: str, pack: Path = PACK
) -> ModelSpec:
    """Write weights, tokenizer and entry into `pack`. Raises `ParityError`."""
    path = pack / TOKENIZER
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path), pretty=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sample_ids = torch.randint(1000, 30_000, (2, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(sample_ids)
    mask[1, 10:] = 0
    entry = ModelSpec(
        name=NAME,
        version=version,
        modality=Modality.TEXT,
        role="encoder",
        file=f"weights/{NAME}.onnx",
        sha256=UNKNOWN_SHA256,
        source="repository",
        recipe="python -m models.train.text",
        licence="Apache-2.0",
        commercial=True,
        trained_on=("all-MiniLM-L6-v2 (Apache-2.0)", "GoEmotions", "MELD", "EmoBank", "SST-2"),
        input=_INPUTS,
        output=_OUTPUTS,
        preprocess=_PREPROCESS,
        labels=LABELS,
        map=TO_BASE,
        calibration=calibration,
        files=(ExtraFile(name="tokenizer", file=TOKENIZER, sha256=digest),),
        provider="cpu",
    )
    sample = {"input_ids": sample_ids, "attention_mask": mask}
    return publish(model, sample, entry, precision="int8-dynamic", pack=pack)
