"""Networks of Hugging Face transformers under the contracts of this project's encoders, so that they export alike.

A wrapper takes what the sidecar gives an encoder (a 48 px crop, 3 s of sound, token ids), does inside the graph what
the checkpoint's preprocessor would do outside it, and returns `logits` and `embedding`; the embedding is what the last
layer of the head reads. `FaceContract`, `VoiceContract` and `TextContract` serve any classifier of their kind;
`TextHeads` puts sentiment, affect and emotion heads on a bare text network.
"""

from typing import NamedTuple, cast

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from models.train.hub import PREPROCESSOR, Checkpoint, CheckpointError, read_json

SAMPLE_RATE_HZ = 16_000
_VARIANCE_FLOOR = 1e-7
"""As in transformers' `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm`."""


class Encoded(NamedTuple):
    """`logits` (batch, labels) and `embedding` (batch, width)."""

    logits: Tensor
    embedding: Tensor


class TextEncoded(NamedTuple):
    """`sentiment` (batch, 3), `vad` (batch, 3), `logits` (batch, labels), `embedding` (batch, width)."""

    sentiment: Tensor
    vad: Tensor
    logits: Tensor
    embedding: Tensor


class PictureFormat(msgspec.Struct, frozen=True):
    """What `preprocessor_config.json` of a picture network asks for; defaults are those of transformers' ViT."""

    size: int | dict[str, int] = 224
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @property
    def side_px(self) -> int:
        """Of the square picture."""
        return self.size if isinstance(self.size, int) else min(self.size.values())


class SpeechFormat(msgspec.Struct, frozen=True):
    """What `preprocessor_config.json` of a speech network asks for."""

    sampling_rate: int = SAMPLE_RATE_HZ
    do_normalize: bool = True


def picture_format(checkpoint: Checkpoint) -> PictureFormat:
    """Raises `CheckpointError` where the pictures would not fit the network."""
    path = checkpoint.folder / PREPROCESSOR
    form: PictureFormat = read_json(path, PictureFormat)
    if form.side_px != checkpoint.config.image_size:
        raise CheckpointError(
            f"{path}, key 'size': {form.side_px} px for a network of {checkpoint.config.image_size} px "
            "(config.json, key 'image_size'); take both files from one revision"
        )
    return form


def speech_format(checkpoint: Checkpoint) -> SpeechFormat:
    """Raises `CheckpointError` for a network of another sampling rate."""
    path = checkpoint.folder / PREPROCESSOR
    form: SpeechFormat = read_json(path, SpeechFormat)
    if form.sampling_rate != SAMPLE_RATE_HZ:
        raise CheckpointError(
            f"{path}, key 'sampling_rate': made for {form.sampling_rate} Hz, want {SAMPLE_RATE_HZ}; "
            "choose another checkpoint"
        )
    return form


class FaceContract(nn.Module):
    """`face` uint8 (batch, 1, 48, 48), luma -> `Encoded`; resizing, scale and colours are inside."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, classifier: PreTrainedModel, form: PictureFormat) -> None:
        super().__init__()
        self.classifier = _tell_embedding(classifier)
        self.side_px = form.side_px
        self.labels = _labels(classifier)
        scale = form.rescale_factor if form.do_rescale else 1.0
        mean = torch.tensor(form.image_mean if form.do_normalize else (0.0,) * 3)
        deviation = torch.tensor(form.image_std if form.do_normalize else (1.0,) * 3)
        self.register_buffer("mean", (mean / scale).view(1, 3, 1, 1))
        self.register_buffer("deviation", (deviation / scale).view(1, 3, 1, 1))

    def forward(self, face: Tensor) -> Encoded:
        # Half-pixel centres without antialiasing: the crop is enlarged, so nothing can alias.
        large = F.interpolate(face.float(), (self.side_px, self.side_px), mode="bilinear", align_corners=False)
        told = self.classifier((large - self.mean) / self.deviation).logits
        return _split(told, self.labels)


class VoiceContract(nn.Module):
    """`audio` float32 (batch, 48000), 16 kHz -> `Encoded`; the feature extractor's normalisation is inside."""

    def __init__(self, classifier: PreTrainedModel, form: SpeechFormat) -> None:
        super().__init__()
        self.classifier = _tell_embedding(classifier)
        self.labels = _labels(classifier)
        self.normalise = form.do_normalize

    def forward(self, audio: Tensor) -> Encoded:
        told = self.classifier(normalised(audio) if self.normalise else audio).logits
        return _split(told, self.labels)


class TextContract(nn.Module):
    """`input_ids`, `attention_mask` int64 (batch, tokens) -> `Encoded`, of a checkpoint with an emotion head only."""

    def __init__(self, classifier: PreTrainedModel) -> None:
        super().__init__()
        self.classifier = _tell_embedding(classifier)
        self.labels = _labels(classifier)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        return _split(self.classifier(input_ids=input_ids, attention_mask=attention_mask).logits, self.labels)


class TextHeads(nn.Module):
    """`input_ids`, `attention_mask` int64 (batch, tokens) -> `TextEncoded`: three heads on the mean over the tokens."""

    def __init__(self, body: PreTrainedModel, labels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.body = body
        width = int(body.config.hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.sentiment = nn.Linear(width, 3)
        self.vad = nn.Linear(width, 3)
        self.emotion = nn.Linear(width, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> TextEncoded:
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.to(hidden.dtype).unsqueeze(-1)
        embedding = (hidden * weight).sum(1) / weight.sum(1)
        features = self.dropout(embedding)
        return TextEncoded(self.sentiment(features), self.vad(features), self.emotion(features), embedding)


def normalised(audio: Tensor) -> Tensor:
    """Each clip (batch, samples) with mean 0 and deviation 1, as transformers' feature extractor makes it."""
    centred = audio - audio.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + _VARIANCE_FLOOR).sqrt()


class _BesideInput(nn.Module):
    """A linear layer whose output stands before its input: (..., labels + width)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat((self.layer(features), features), -1)


def _tell_embedding(classifier: PreTrainedModel) -> PreTrainedModel:
    """The classifier, made to return what its last layer reads after its logits; done once to any one model."""
    parent, name = cast(nn.Module, classifier), "classifier"
    head = cast(nn.Module, classifier.classifier)
    for inner in ("out_proj", "output"):  # RoBERTa's head is a module of its own
        if isinstance(getattr(head, inner, None), nn.Linear):
            parent, name = head, inner
    last = getattr(parent, name)
    if isinstance(last, nn.Linear):
        setattr(parent, name, _BesideInput(last))
    return classifier


def _labels(classifier: PreTrainedModel) -> int:
    return len(classifier.config.id2label or {})


def _split(told: Tensor, labels: int) -> Encoded:
    return Encoded(told[:, :labels], told[:, labels:])
