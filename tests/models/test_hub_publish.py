"""Checkpoints of the hub under this project's contracts: the real classes, tiny, with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models

from models.export.__main__ import main
from models.train.hub import open_checkpoint
from models.train.hub_publish import under_contract
from sidecar.inference.local import OrtModel
from sidecar.inference.pack import load_pack
from sidecar.types import Modality
from tests.inference.graphs import TEXT, VOICE, random_model, write_manifest
from tests.models.test_hub import random_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter's own libraries

MAP = "ang=anger,hap=happiness,neu=neutral"
AUDIO = np.random.default_rng(0).normal(0.05, 0.1, (3, 48_000)).astype(np.float32)


def publish(folder: Path, pack: Path, mapping: str = MAP) -> int:
    told = ["checkpoint", str(folder), "--name", "random", "--licence", "none", "--pack", str(pack), "--map", mapping]
    return main([*told, "--precision", "fp32"])


def test_a_random_speech_checkpoint_says_what_transformers_says_and_leads_the_pack(tmp_path: Path) -> None:
    checkpoint, pack = tmp_path / "checkpoint", tmp_path / "pack"
    original = random_checkpoint(checkpoint, "wav2vec2-base", use_weighted_layer_sum=True)
    write_manifest(pack, random_model(pack, "older", VOICE))
    assert publish(checkpoint, pack) == 0

    loaded = load_pack(pack, "research")
    spec = loaded.choose(Modality.VOICE, "encoder")
    assert spec is not None
    assert (spec.name, spec.labels, spec.map["ang"]) == ("random", ("ang", "hap", "neu"), "anger")
    said = OrtModel(spec, loaded.path(spec)).run({"audio": AUDIO})
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    values = extractor(list(AUDIO), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = original(values).logits.numpy()
    np.testing.assert_allclose(said["logits"], expected, atol=1e-3)
    assert said["embedding"].shape == (3, 24)
    assert np.ptp(said["logits"], axis=0).min() > 1e-5, "the logits follow the audio"


def test_a_random_text_checkpoint_takes_its_tokenizer_along(tmp_path: Path) -> None:
    checkpoint, pack = tmp_path / "checkpoint", tmp_path / "pack"
    original = random_checkpoint(checkpoint, "distilroberta-base")
    write_manifest(pack, random_model(pack, "older", TEXT))
    assert publish(checkpoint, pack) == 1, "there is no tokenizer yet"
    Tokenizer(models.WordLevel({"glad": 0, "sad": 1}, unk_token="sad")).save(str(checkpoint / "tokenizer.json"))
    assert publish(checkpoint, pack) == 0

    loaded = load_pack(pack, "research")
    spec = loaded.choose(Modality.TEXT, "encoder")
    assert spec is not None
    assert Tokenizer.from_file(str(loaded.extra(spec, "tokenizer"))).encode("glad").ids == [0]
    ids = np.array([[5, 6, 7, 8], [9, 10, 1, 1]], np.int64)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.int64)
    said = OrtModel(spec, loaded.path(spec)).run({"input_ids": ids, "attention_mask": mask})
    with torch.no_grad():
        expected = original(torch.from_numpy(ids), torch.from_numpy(mask)).logits.numpy()
    np.testing.assert_allclose(said["logits"], expected, atol=1e-3)


def test_a_random_face_checkpoint_sees_the_crop_as_its_own_preprocessor_shows_it(tmp_path: Path) -> None:
    random_checkpoint(tmp_path, "vit-base-16")
    modality, module, _ = under_contract(open_checkpoint(tmp_path))
    assert modality is Modality.FACE
    crop = np.random.default_rng(0).integers(0, 256, (1, 1, 48, 48), np.uint8)
    seen = []
    module.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        logits, embedding = module(torch.from_numpy(crop))
    picture = np.repeat(crop[0, 0, :, :, None], 3, axis=2)
    shown = transformers.ViTImageProcessorPil.from_pretrained(tmp_path)(picture, return_tensors="pt").pixel_values
    level = 1 / 255 / 0.5
    assert (seen[0] - shown).abs().max() < 1.01 * level, "within the rounding of the preprocessor's 8 bits"
    torch.testing.assert_close(module.classifier.classifier.layer(embedding), logits)


def test_a_map_must_name_exactly_the_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_checkpoint(tmp_path / "checkpoint", "vit-base-16")
    assert publish(tmp_path / "checkpoint", tmp_path / "pack", "ang=anger,hap=happiness") == 1
    assert f"exactly the labels of {tmp_path / 'checkpoint' / 'config.json'}: " in capsys.readouterr().err
    assert publish(tmp_path / "checkpoint", tmp_path / "pack", MAP.replace("=happiness", "=joy")) == 1
    assert "--map: joy: not one of neutral, happiness" in capsys.readouterr().err
    assert not (tmp_path / "pack").exists()
