"""Architectures from their configurations, with random weights: the true base shapes, and tiny ones of the same build.

What exports and runs here exports and runs with a trained checkpoint of that shape: weights do not change a graph.

    module, sample = random_encoder("wavlm-base", tiny=True)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    HubertConfig,
    ModernBertConfig,
    PretrainedConfig,
    RobertaConfig,
    ViTConfig,
    Wav2Vec2Config,
    WavLMConfig,
)

from models.train.hub import random_classifier
from models.train.hub_contract import FaceContract, PictureFormat, SpeechFormat, TextHeads, VoiceContract
from sidecar.types import EMOTIONS, Modality

CROP_PX: Final = 48
SAMPLES: Final = 48_000
TOKENS: Final = 32

_NARROW: Final = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
_SPEECH: Final = {
    **_NARROW,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 24,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One architecture: its configuration's class, what its base shape changes there, and what the tiny one does."""

    modality: Modality
    config: type[PretrainedConfig]
    base: Mapping[str, Any]
    tiny: Mapping[str, Any]


SHAPES: Final[Mapping[str, Shape]] = {
    # Dosovitskiy et al., ICLR 2021, table 1; the configurations' defaults are the base shapes of the papers.
    "vit-base-16": Shape(Modality.FACE, ViTConfig, {}, {**_NARROW, "image_size": 64}),
    "wav2vec2-base": Shape(Modality.VOICE, Wav2Vec2Config, {}, _SPEECH),  # Baevski et al., NeurIPS 2020
    "hubert-base": Shape(Modality.VOICE, HubertConfig, {}, _SPEECH),  # Hsu et al., TASLP 2021
    "wavlm-base": Shape(  # Chen et al., JSTSP 2022; the second layer takes the first one's position bias
        Modality.VOICE, WavLMConfig, {}, {**_SPEECH, "num_hidden_layers": 2}
    ),
    # distilroberta-base: RoBERTa's width (Liu et al., 2019) in 6 layers, by the method of Sanh et al. (2019).
    "distilroberta-base": Shape(
        Modality.TEXT,
        RobertaConfig,
        {"num_hidden_layers": 6, "vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1},
        {**_NARROW, "vocab_size": 100, "max_position_embeddings": 130, "type_vocab_size": 1},
    ),
    # Warner et al., "Smarter, better, faster, longer" (2024).
    "modernbert-base": Shape(
        Modality.TEXT,
        ModernBertConfig,
        {},
        {
            **_NARROW,
            "num_hidden_layers": 2,  # one that sees all, one that sees its surroundings
            "vocab_size": 100,
            "local_attention": 16,
            "global_attn_every_n_layers": 2,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "cls_token_id": 1,
            "sep_token_id": 2,
        },
    ),
}


def random_encoder(name: str, *, tiny: bool) -> tuple[nn.Module, dict[str, Tensor]]:
    """The architecture under its contract with seeded random weights, and a batch of two to run it on."""
    shape = SHAPES[name]
    config = shape.config(**(shape.tiny if tiny else shape.base))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if shape.modality is Modality.FACE:
            classifier = random_classifier(config, "ImageClassification", EMOTIONS)
            module: nn.Module = FaceContract(classifier, PictureFormat(size=config.image_size))
            sample = {"face": torch.randint(0, 256, (2, 1, CROP_PX, CROP_PX), dtype=torch.uint8)}
        elif shape.modality is Modality.VOICE:
            module = VoiceContract(random_classifier(config, "AudioClassification", EMOTIONS), SpeechFormat())
            sample = {"audio": torch.randn(2, SAMPLES) * 0.1}
        else:
            body = AutoModel.from_config(config, attn_implementation="eager")  # type: ignore[no-untyped-call]
            module = TextHeads(body, len(EMOTIONS))
            ids = torch.randint(3, config.vocab_size, (2, TOKENS))
            mask = torch.ones_like(ids)
            mask[1, TOKENS // 2 :] = 0
            sample = {"input_ids": ids, "attention_mask": mask}
    return module.eval(), sample
