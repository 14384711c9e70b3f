"""Checkpoints in the hub's real layout, as transformers saves them: tiny, with random weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from models.train.hub import (
    CheckpointError,
    fresh_classifier,
    load_body,
    load_classifier,
    open_checkpoint,
)
from models.train.hub_contract import picture_format, speech_format
from models.train.shapes import SHAPES
from sidecar.types import Modality

LABELS = {0: "ang", 1: "hap", 2: "neu"}
TASKS = {Modality.FACE: "ImageClassification", Modality.VOICE: "AudioClassification"}


def random_checkpoint(folder: Path, name: str, shard: str = "1GB", **changes: Any) -> Any:
    """Save a tiny architecture of random weights with everything that the hub has beside it."""
    torch.manual_seed(0)
    shape = SHAPES[name]
    labels = {"id2label": LABELS, "label2id": {label: number for number, label in LABELS.items()}}
    config = shape.config(**{**shape.tiny, **labels, **changes})
    task = TASKS.get(shape.modality, "SequenceClassification")
    model = getattr(transformers, f"AutoModelFor{task}").from_config(config)
    if getattr(model, "layer_weights", None) is not None:
        torch.nn.init.normal_(model.layer_weights)
    model.save_pretrained(folder, max_shard_size=shard)
    if shape.modality is Modality.FACE:
        size = {"height": config.image_size, "width": config.image_size}
        transformers.ViTImageProcessorPil(size=size, image_mean=[0.4] * 3).save_pretrained(folder)
    elif shape.modality is Modality.VOICE:
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "random-vit"
    random_checkpoint(folder, "vit-base-16")
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "random-vit"))


def weights(model: Any) -> dict[str, Any]:
    return {name: value for name, value in model.state_dict().items() if "pooler" not in name}


@pytest.mark.parametrize("name", ["vit-base-16", "wavlm-base", "distilroberta-base"])
def test_random_weights_come_back_whole_and_in_shards(name: str, tmp_path: Path) -> None:
    task = TASKS.get(SHAPES[name].modality, "SequenceClassification")
    original = random_checkpoint(tmp_path / "whole", name)
    random_checkpoint(tmp_path / "shards", name, shard="40KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    for folder in (tmp_path / "whole", tmp_path / "shards"):
        checkpoint = open_checkpoint(folder)
        assert checkpoint.labels == tuple(LABELS.values())
        read = load_classifier(checkpoint, task)
        assert not read.training
        torch.testing.assert_close(weights(read), weights(original))


def test_a_fresh_head_stands_on_the_trained_body(saved: Path) -> None:
    checkpoint = open_checkpoint(saved)
    trained = weights(load_body(checkpoint))
    fresh = fresh_classifier(checkpoint, "ImageClassification", ["calm", "cross", "glad", "sad"])
    torch.testing.assert_close({name: weights(fresh)[f"vit.{name}"] for name in trained}, trained)
    assert fresh.classifier.weight.shape == (4, 32)
    assert fresh.config.id2label[1] == "cross"
    assert checkpoint.labels == tuple(LABELS.values()), "the checkpoint itself is as it was"


def test_the_preprocessor_is_read_and_must_fit(folder: Path, tmp_path: Path) -> None:
    assert picture_format(open_checkpoint(folder)).image_mean == (0.4, 0.4, 0.4)
    change(folder / "preprocessor_config.json", size={"height": 224, "width": 224})
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json, key 'size': 224 px for a network of 64 px"):
        picture_format(open_checkpoint(folder))
    random_checkpoint(tmp_path / "speech", "wavlm-base")
    assert speech_format(open_checkpoint(tmp_path / "speech")).do_normalize
    change(tmp_path / "speech" / "preprocessor_config.json", sampling_rate=8000)
    with pytest.raises(CheckpointError, match=r"key 'sampling_rate': made for 8000 Hz, want 16000"):
        speech_format(open_checkpoint(tmp_path / "speech"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def with_a_shard_lost(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"classifier.bias": "model-1.safetensors"}}')


def with_a_layer_lost(folder: Path) -> None:
    path = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(path).items() if "layernorm_after" not in name}
    save_file(kept, path)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (shutil.rmtree, "no such folder; `hf download"),
    (lambda folder: (folder / "config.json").unlink(), "config.json: is missing"),
    (lambda folder: (folder / "config.json").write_text("{"), "config.json: .*download it again"),
    (lambda folder: change(folder / "config.json", model_type="mind"), "'model_type': transformers .* knows no 'mind'"),
    (lambda folder: change(folder / "config.json", id2label={"0": "a", "2": "b"}), "without a gap"),
    (
        lambda folder: change(folder / "config.json", id2label={"0": "ang", "1": "hap"}),
        "2 labels for the 3 logits of 'classifier.weight'",
    ),
    (without_weights, "model.safetensors: is missing; pytorch_model.bin is a pickle"),
    (with_cut_weights, "model.safetensors: cannot be read"),
    (with_a_shard_lost, "model-1.safetensors: cannot be read"),
    (with_a_layer_lost, "the weights lack .*layernorm_after"),
    (lambda folder: change(folder / "config.json", intermediate_size=64), "describes another shape .*mlp.fc1"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_what_is_amiss_is_named_with_the_remedy(spoil: Callable[[Path], object], words: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(CheckpointError, match=words):
        load_classifier(open_checkpoint(folder), "ImageClassification")


def test_a_body_alone_has_no_labels_to_offer(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "classifier" not in name}, path)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.labels == ()
    assert load_body(checkpoint).config.hidden_size == 32
    with pytest.raises(CheckpointError, match="has no classification head"):
        load_classifier(checkpoint, "ImageClassification")
