"""Cards say what manifest and results say, and nothing that these contradict."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from models import cards
from models.cards import __main__ as command
from models.cards.facts import CardError, known
from models.evaluate import answers as parts
from models.evaluate.answers import Answers
from models.evaluate.results import PACK, identity, write
from models.evaluate.slices import slices
from sidecar.inference.manifest import read_manifest
from tests.inference.graphs import VOICE, random_model, write_manifest


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack of one voice model with random weights, trained on RAVDESS, and its results."""
    entry = random_model(
        tmp_path, "voice", VOICE, trained_on=["RAVDESS speech"], licence="CC BY-NC-SA 4.0", commercial=False
    )
    write_manifest(tmp_path, entry)
    (spec,) = read_manifest(tmp_path)
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 120)
    shares = random.dirichlet(np.ones(3), 120)
    people = np.repeat(np.arange(8), 15)
    head = Answers("ravdess", ("a", "b", "c"), shares, truth, people.tolist(), {"gender": [str(i % 2) for i in people]})
    result = {
        "model": identity(spec),
        "figures": parts.figures(head),
        "intervals": parts.intervals(head),
        "heads": {"ravdess": parts.description(head)},
        "slices": {**slices(head), "absent": "No ages are given."},
        "robustness": {"noise": {"as it is": {"uar": 0.5}, "0 dB": {"uar": 0.3}}},
        "notes": ["Three labels."],
    }
    write(tmp_path / "results/voice.json", result)
    return tmp_path


def head_of(card: str) -> dict[str, Any]:
    _, text, _ = card.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_a_card_carries_the_figures_and_the_clause(pack: Path):
    card = command.render(pack)["voice.md"]
    result = json.loads((pack / "results/voice.json").read_text("utf-8"))
    head = head_of(card)
    assert head["license"] == "cc-by-nc-sa-4.0"
    assert head["datasets"] == ["ravdess"]
    (index,) = head["model-index"]
    (scored,) = index["results"]
    assert scored["task"]["type"] == "audio-classification"
    assert {each["name"]: each["value"] for each in scored["metrics"]} == {
        name: result["figures"][name] for name in result["intervals"]
    }
    titles = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert titles == [
        "Intended use", "Out of scope", "Inputs and outputs", "Training data", "Licence", "Training", "Figures",
        "Abstention", "Slices", "Robustness", "Limits",
    ]  # fmt: skip
    assert "section 2(a)(1)" in card
    assert f"| ravdess_uar | {result['figures']['ravdess_uar']} |" in card
    assert "No ages are given." in card


def test_the_hub_reads_the_card(pack: Path):
    from huggingface_hub import ModelCard

    data = ModelCard(command.render(pack)["voice.md"]).data
    assert data.license == "cc-by-nc-sa-4.0"
    assert {each.metric_name for each in data.eval_results} == {"ravdess_accuracy", "ravdess_uar", "ravdess_macro_f1"}


def test_the_bill_lists_models_and_corpora_and_refers_to_nothing_else(pack: Path):
    text = command.render(pack)["pack.cdx.json"]
    bill = json.loads(text)
    (spec,) = read_manifest(pack)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    model, corpus = bill["components"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": spec.sha256}]
    assert model["licenses"] == [{"license": {"id": "CC-BY-NC-SA-4.0"}}]
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": corpus["bom-ref"]}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert all(isinstance(each["value"], str) for each in metrics), "the schema wants strings"
    assert any(each.get("slice") == "ravdess_gender: 1" for each in metrics)
    assert corpus["type"] == "data"
    refs = {each["bom-ref"] for each in bill["components"]} | {"pack"}
    assert {ref for each in bill["dependencies"] for ref in (each["ref"], *each["dependsOn"])} == refs
    assert "timestamp" not in bill["metadata"]
    assert command.render(pack)["pack.cdx.json"] == text


def test_contradictions_are_errors_that_say_what_to_do(pack: Path):
    (entry,) = tomllib.loads((pack / "manifest.toml").read_text("utf-8"))["model"]
    write_manifest(pack, {**entry, "commercial": True})
    with pytest.raises(CardError, match=r"'voice' says commercial = true, but is trained on ravdess \(CC BY-NC-SA"):
        known(pack)
    write_manifest(pack, {**entry, "sha256": "0" * 64})
    with pytest.raises(CardError, match=r"voice\.json: is about other weights.*python -m models\.evaluate voice"):
        known(pack)
    (pack / "results/voice.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"python -m models\.evaluate voice"):
        known(pack)


def test_the_command_writes_and_finds_what_is_stale(pack: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--pack", str(pack)]
    assert command.main([*arguments, "--check"]) == 1
    assert command.main(arguments) == 0
    assert command.main([*arguments, "--check"]) == 0
    (pack / "cards/voice.md").write_text("praise", "utf-8")
    capsys.readouterr()
    assert command.main([*arguments, "--check"]) == 1
    assert "voice.md: stale; run `python -m models.cards`" in capsys.readouterr().out


def test_the_committed_cards_are_those_of_the_committed_pack():
    assert command.main(["--check"]) == 0
    written = {path.stem for path in Path(cards.__file__).parent.glob("*.md")}
    assert written == {spec.name for spec in read_manifest(PACK)}
