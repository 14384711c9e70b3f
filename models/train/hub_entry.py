"""The manifest's entry of a network under a contract, as far as the network itself can tell."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.export import UNKNOWN_SHA256
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec
from sidecar.types import Modality

_INPUTS: Final = {
    Modality.FACE: (InputSpec(name="face", shape=("batch", 1, 48, 48), type="uint8", units="BT.601 luma, 0-255"),),
    Modality.VOICE: (InputSpec(name="audio", shape=("batch", 48_000), type="float32", units="16 kHz mono, -1..1"),),
    Modality.TEXT: (
        InputSpec(name="input_ids", shape=("batch", "tokens"), type="int64", units="ids of the tokenizer"),
        InputSpec(name="attention_mask", shape=("batch", "tokens"), type="int64", units="1 token, 0 padding"),
    ),
}
_UNITS: Final = {
    "sentiment": "logits of negative, neutral, positive",
    "vad": "valence, arousal, dominance, each -1..1",
    "logits": "before softmax",
    "embedding": "none",
}
_PREPROCESS: Final = {
    Modality.FACE: (
        "The aligned 48 x 48 crop of luma, 0-255, as of the pack's other face encoders. Enlarging it and the "
        "checkpoint's own scale are inside the graph."
    ),
    Modality.VOICE: (
        "3 s of 16 kHz mono, float32 in -1..1, as they are: no gain, no pre-emphasis. Longer: the middle 48000 "
        "samples; shorter: zeros on both sides, equally many. The checkpoint's own normalisation is inside the graph."
    ),
    Modality.TEXT: (
        "Encode with the tokenizer file, cut to 128 tokens, a batch padded on the right to its longest text; ids to "
        "input_ids, attention mask to attention_mask."
    ),
}


def contract_entry(
    modality: Modality, module: nn.Module, sample: Mapping[str, Tensor], labels: Sequence[str], **told: Any
) -> ModelSpec:
    """The entry of an encoder; `told` are the keys that a network does not know: name, licence, map, recipe, ..."""
    with torch.no_grad():
        outputs = module.eval()(*sample.values())
    ports = tuple(
        OutputSpec(name=name, shape=("batch", value.shape[1]), units=_UNITS[name])
        for name, value in outputs._asdict().items()
    )
    known = {
        "version": "1",
        "source": "repository",
        "file": f"weights/{told['name']}.onnx",
        "sha256": UNKNOWN_SHA256,
        "preprocess": _PREPROCESS[modality],
    }
    return ModelSpec(
        modality=modality,
        role="encoder",
        input=_INPUTS[modality],
        output=ports,
        labels=tuple(labels),
        **{**known, **told},
    )
