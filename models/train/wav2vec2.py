"""Puts a fine-tuned checkpoint of the wav2vec2 architecture in a pack, under the contract of the voice encoders.

    python -m models.train.wav2vec2 CHECKPOINT --name NAME --licence TEXT --map ang=anger,hap=happiness,...

CHECKPOINT is what Hugging Face transformers saves or finds: a `Wav2Vec2ForSequenceClassification` or
`HubertForSequenceClassification` with its `preprocessor_config.json`. The feature extractor's normalisation goes
inside the graph, so that the input is the bare waveform, as for every other voice encoder.
"""

import argparse
from pathlib import Path
from typing import Any, Final, cast, get_args

import torch
from torch import Tensor, nn
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, PreTrainedModel

from models.export import PACK, UNKNOWN_SHA256, Precision, publish
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec
from sidecar.types import Modality

SAMPLES: Final = 48_000
_VARIANCE_FLOOR: Final = 1e-7
"""As in transformers' `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm`."""


class Wav2Vec2Voice(nn.Module):
    """`audio` (batch, 48000) float32, 16 kHz -> `logits` (batch, labels), `embedding` (batch, projection)."""

    def __init__(self, classifier: PreTrainedModel, *, normalise: bool) -> None:
        super().__init__()
        self.encoder = getattr(classifier, classifier.base_model_prefix)
        self.projector = cast(nn.Module, classifier.projector)
        self.classify = cast(nn.Module, classifier.classifier)
        self.layer_weights = classifier.layer_weights if classifier.config.use_weighted_layer_sum else None
        self.normalise = normalise

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        if self.normalise:
            audio = audio - audio.mean(1, keepdim=True)
            audio = audio / (audio.square().mean(1, keepdim=True) + _VARIANCE_FLOOR).sqrt()
        heard = self.encoder(audio, output_hidden_states=self.layer_weights is not None)
        hidden = heard.last_hidden_state
        if self.layer_weights is not None:
            shares = torch.as_tensor(self.layer_weights).softmax(-1)
            hidden = (torch.stack(heard.hidden_states) * shares.view(-1, 1, 1, 1)).sum(0)
        embedding = self.projector(hidden).mean(1)
        return self.classify(embedding), embedding


def load_checkpoint(checkpoint: str) -> tuple[Wav2Vec2Voice, dict[int, str]]:
    """The model and its labels by number. Raises OSError where there is none, ValueError for another sampling rate."""
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)  # type: ignore[no-untyped-call]
    if extractor.sampling_rate != SAMPLES // 3:
        raise ValueError(f"{checkpoint}: made for {extractor.sampling_rate} Hz, want {SAMPLES // 3}")
    # Eager attention: the fused kernels export to graphs that fix the batch.
    classifier = AutoModelForAudioClassification.from_pretrained(checkpoint, attn_implementation="eager").eval()
    return Wav2Vec2Voice(classifier, normalise=extractor.do_normalize), dict(classifier.config.id2label)


def entry_for(model: Wav2Vec2Voice, labels: dict[int, str], **told: Any) -> ModelSpec:
    """The manifest's entry; `told` are the keys that the checkpoint does not know (name, licence, map, ...)."""
    names = tuple(labels[i] for i in range(len(labels)))
    with torch.no_grad():
        _, embedding = model.eval()(torch.zeros(1, SAMPLES))
    return ModelSpec(
        modality=Modality.VOICE,
        role="encoder",
        file=f"weights/{told['name']}.onnx",
        sha256=UNKNOWN_SHA256,
        source="repository",
        input=(InputSpec(name="audio", shape=("batch", SAMPLES), type="float32", units="16 kHz mono, -1..1"),),
        output=(
            OutputSpec(name="logits", shape=("batch", len(names)), units="before softmax"),
            OutputSpec(name="embedding", shape=("batch", embedding.shape[1]), units="none"),
        ),
        preprocess="3 s of 16 kHz mono, float32 in -1..1, as they are; normalisation is inside the graph.",
        labels=names,
        **told,
    )


def main() -> None:
    """Load, export, publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--name", required=True, help="of the model in the manifest")
    parser.add_argument("--map", required=True, help="base emotion of each label: ang=anger,hap=happiness")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--commercial", action="store_true", help="the licence allows commercial use")
    parser.add_argument("--trained-on", default="unknown", help="corpora, split on commas")
    parser.add_argument("--version", default="1")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp16")
    parser.add_argument("--pack", type=Path, default=PACK)
    told = parser.parse_args()
    model, labels = load_checkpoint(told.checkpoint)
    entry = entry_for(
        model,
        labels,
        name=told.name,
        version=told.version,
        recipe=f"python -m models.train.wav2vec2 {told.checkpoint}",
        licence=told.licence,
        commercial=told.commercial,
        trained_on=tuple(told.trained_on.split(",")),
        map=dict(pair.split("=") for pair in told.map.split(",")),
    )
    publish(model, {"audio": torch.randn(2, SAMPLES) * 0.1}, entry, precision=told.precision, pack=told.pack)


if __name__ == "__main__":
    main()
