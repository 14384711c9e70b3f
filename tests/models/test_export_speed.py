"""The report of which provider serves each encoder best, on tiny graphs."""

import json
from pathlib import Path

import msgspec

from models.export.speed import main, row, unit
from sidecar.inference.manifest import read_manifest
from tests.inference.graphs import FACE, TEXT, VOICE, random_model, write_manifest


def test_every_encoder_is_timed_under_every_provider(tmp_path: Path) -> None:
    kinds = {"random-face": FACE, "random-voice": VOICE, "random-text": TEXT}
    write_manifest(tmp_path, *(random_model(tmp_path, name, kind) for name, kind in kinds.items()))
    assert main(["--pack", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "results" / "speed.json").read_text())["models"]
    assert {name: each["limit_ms"] for name, each in told.items()} == {
        "random-face": 1.5,
        "random-voice": 30.0,
        "random-text": 8.0,
    }
    for each in told.values():
        assert "CPUExecutionProvider" in each["ms"]
        assert each["best"] in each["ms"]
    face, _, text = read_manifest(tmp_path)
    assert unit(text)["input_ids"].shape == (1, 32)
    assert unit(face)["face"].shape == (1, 1, 48, 48)


def test_a_model_slower_than_allowed_is_told(tmp_path: Path) -> None:
    write_manifest(tmp_path, random_model(tmp_path, "random-face", FACE))
    (spec,) = read_manifest(tmp_path)
    told = row(msgspec.structs.replace(spec, provider="cpu"), {"CPUExecutionProvider": 1.6, "Other": 1.7})
    assert (told["best"], told["within"]) == ("CPUExecutionProvider", False)
