"""`sidecar analyze --pack`: another pack over a recording, proved by the audit, which names the weights."""

import json
import shutil
from pathlib import Path

import pytest

from sidecar.cli import main
from sidecar.inference.manifest import read_manifest
from tests.inference.graphs import VOICE, random_model, write_manifest
from tests.media_files import write_recording

PACK = Path(__file__).parents[1] / "models"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_STATE", str(tmp_path / "state"))


def voice_pack(folder: Path) -> dict:
    """A pack of a random voice encoder and the true speech gate; returns the encoder's table."""
    table = random_model(folder, "random-voice", VOICE)
    (vad,) = (spec for spec in read_manifest(PACK) if spec.role == "vad")
    shutil.copyfile(PACK / vad.file, folder / vad.file)
    ports = [{"name": port.name, "shape": list(port.shape), "units": port.units} for port in vad.output]
    inputs = [
        {"name": port.name, "shape": list(port.shape), "type": port.type, "units": port.units} for port in vad.input
    ]
    gate = {**table, "name": "gate", "role": "vad", "file": vad.file, "sha256": vad.sha256, "provider": "cpu"}
    write_manifest(folder, table, {**gate, "input": inputs, "output": ports, "labels": [], "map": {}})
    return table


def test_the_given_pack_reads_the_recording(data_root: Path, tmp_path: Path) -> None:
    table, out = voice_pack(tmp_path / "pack"), tmp_path / "events.jsonl"
    pack = tmp_path / "pack" / "manifest.toml"
    clip = str(data_root / "clips" / "jfk.flac")
    assert main(["analyze", clip, "--consent", "voice", "--pack", str(pack), "--out", str(out)]) == 0
    audit = b"".join(path.read_bytes() for path in (tmp_path / "state" / "audit").rglob("*") if path.is_file())
    assert table["sha256"].encode() in audit, "the audit names the weights"
    events = map(json.loads, out.read_text().splitlines())
    estimates = [event["data"] for event in events if "estimate" in event["type"]]
    assert any(estimate["models"] == {"voice": "random-voice 0"} for estimate in estimates)


def test_a_folder_without_a_manifest_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_recording(tmp_path / "call.mp4", 0.5)
    assert main(["analyze", str(clip), "--consent", "voice", "--pack", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none" / "manifest.toml") in capsys.readouterr().err
