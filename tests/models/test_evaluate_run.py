"""The whole evaluation of the shipped models, over a handful of the real test data."""

from pathlib import Path

import pytest

from models.datasets import data_root, emodb, ferplus, ravdess
from models.datasets.ferplus import FerPlus
from models.evaluate import __main__ as command
from models.evaluate import face, gate, metrics, slices, voice, worn_faces, worn_speech
from models.evaluate.results import read

pytestmark = pytest.mark.skipif(not data_root().is_dir(), reason="the corpora are absent: set SIDECAR_DATA")


@pytest.fixture(autouse=True)
def handful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of each corpus, one degree of each flaw, twenty resamples."""
    monkeypatch.setattr(metrics.bootstrap_interval, "__kwdefaults__", {"resamples": 20, "level": 0.95, "seed": 0})
    monkeypatch.setattr(slices, "PERMUTATIONS", 19)
    for module, worn in ((face, worn_faces), (voice, worn_speech)):
        monkeypatch.setattr(module, "WORN", 3)
        monkeypatch.setattr(module, "timings", lambda spec, pack: {"ms": 1.0})
        monkeypatch.setattr(
            worn, "FLAWS", {name: (how, some[:1], unit) for name, (how, some, unit) in worn.FLAWS.items()}
        )
    clips = {split: ravdess.load(split)[::20] for split in ("test", "valid")}
    german = [clip for clip in emodb.load() if clip.emotion in emodb.FOUR][::40]
    monkeypatch.setattr(ravdess, "load", lambda split: clips[split])
    monkeypatch.setattr(emodb, "load", lambda: german)
    faces = ferplus.load("test").labelled()
    monkeypatch.setattr(ferplus, "load", lambda _: FerPlus(faces.images[:24], faces.votes[:24]))


@pytest.mark.parametrize("part", ["face", "voice"])
def test_a_run_gives_the_figures_of_the_gate_with_sound_intervals(part: str, tmp_path: Path) -> None:
    assert command.main([part, "--results", str(tmp_path)]) == 0
    found = read(tmp_path / f"{part}.json")
    wanted = [name.split(".", 1)[1] for name in gate.read_rules().floors if name.startswith(f"{part}.")]
    assert set(wanted) <= set(found["figures"])
    assert all(low <= found["figures"][name] <= high for name, (low, high) in found["intervals"].items())
    assert sum(found["distribution"].values()) == pytest.approx(1, abs=1e-3)


def test_a_second_run_gives_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["face", "--results", str(tmp_path), "--pictures", str(tmp_path)]) == 0
    assert sorted(path.name for path in (tmp_path / "face").iterdir()) == ["face.png", "robustness.png"]
    assert command.main(["face", "--results", str(tmp_path), "--check"]) == 0
    text = (tmp_path / "face.json").read_text("utf-8")
    figure = read(tmp_path / "face.json")["figures"]["uar"]
    (tmp_path / "face.json").write_text(text.replace(f'"uar": {figure}', '"uar": 0.1234', 1), "utf-8")
    capsys.readouterr()
    assert command.main(["face", "--results", str(tmp_path), "--check"]) == 1
    assert f"figures.uar: 0.1234 committed, {figure} now" in capsys.readouterr().out
