"""TensorRT: the scripts and settings that are generated; engines themselves need the GPU they are for."""

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.export.__main__ import main
from models.export.precision import Precision, convert
from tests.inference.graphs import FACE, TEXT, random_model, write_manifest


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    write_manifest(folder, random_model(folder, "random-face", FACE), random_model(folder, "random-text", TEXT))
    return folder


def test_a_script_and_settings_for_every_shape_of_the_manifest(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "engines"
    assert main(["tensorrt", "--pack", str(pack), "--out", str(out), "--usual-batch", "8", "--max-batch", "32"]) == 0
    command = shlex.split((out / "random-text.sh").read_text().splitlines()[1].removeprefix("exec "))
    assert command[0] == "trtexec"
    assert "--minShapes=input_ids:1x1,attention_mask:1x1" in command
    assert "--optShapes=input_ids:8x32,attention_mask:8x32" in command
    assert "--maxShapes=input_ids:32x128,attention_mask:32x128" in command
    settings = json.loads((out / "random-face.json").read_text())
    assert settings["trt_profile_max_shapes"] == "face:32x1x48x48"
    assert all(isinstance(value, str) for value in settings.values()), "as ONNX Runtime takes provider options"


def test_without_tensorrt_nothing_is_built_and_it_says_so(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["tensorrt", "--pack", str(pack), "--out", str(tmp_path / "engines"), "--build"]) == 1
    assert "trtexec is not on the PATH" in capsys.readouterr().err
    assert not list((tmp_path / "engines").glob("*.plan"))


@pytest.mark.parametrize(
    ("precision", "reason"), [("int8-dynamic", "dynamically"), ("int8", "about a zero that is not 0")]
)
def test_a_graph_that_tensorrt_does_not_take_is_named(
    precision: Precision, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = random_model(tmp_path, "random-face", FACE)
    path = tmp_path / table["file"]
    faces = np.random.default_rng(0).integers(0, 256, (8, 1, 48, 48), np.uint8)
    onnx.save(convert(onnx.load(path), precision, [{"face": faces}]), path)
    write_manifest(tmp_path, {**table, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    assert main(["tensorrt", "--pack", str(tmp_path), "--out", str(tmp_path / "engines")]) == 0
    assert f"random-face is quantised {reason}" in capsys.readouterr().err
    assert not (tmp_path / "engines" / "random-face.sh").exists()
