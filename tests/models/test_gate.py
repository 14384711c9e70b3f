"""The release gate refuses what got worse for somebody, and the committed results pass it."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.evaluate import answers as parts
from models.evaluate import gate
from models.evaluate.answers import Answers
from models.evaluate.gate import Floor, Missed, Rules
from models.evaluate.results import PACK, write
from models.evaluate.slices import slices

RULES = Rules(floors={"voice.acted_uar": Floor(aim=0.9, least=0.6)}, drop=0.02, widening=0.03, gap=0.15)


def results(wrong_of_women: float, wrong_of_men: float) -> dict[str, dict[str, Any]]:
    """What the evaluation says of a model that errs so often, on twelve speakers of 100 clips each."""
    people = np.repeat(np.arange(12), 100)
    gender = np.where(people % 2, "male", "female")
    truth = np.tile([0, 1], 600)
    at = np.tile(np.arange(100) * 37 % 100 / 100, 12)
    wrong = at < np.where(gender == "male", wrong_of_men, wrong_of_women)
    shares = np.full((1200, 2), 0.3)
    shares[np.arange(1200), np.where(wrong, 1 - truth, truth)] = 0.7
    head = Answers("acted", ("sad", "glad"), shares, truth, people.tolist(), {"gender": gender.tolist()})
    return {"voice": {"figures": parts.figures(head), "intervals": parts.intervals(head), "slices": slices(head)}}


COMMITTED = results(0.2, 0.2)


def refusals(candidate: dict[str, dict[str, Any]], rules: Rules = RULES) -> dict[str, str]:
    refused = [finding for finding in gate.judge(candidate, COMMITTED, rules) if finding.verdict == "refused"]
    return {name: "; ".join(each.says for each in refused if each.name == name) for name in (f.name for f in refused)}


def test_the_same_results_pass():
    assert refusals(COMMITTED) == {}


def test_a_candidate_biased_against_one_gender_is_refused_though_no_figure_falls():
    biased = results(0.0, 0.38)
    assert biased["voice"]["figures"]["acted_uar"] > COMMITTED["voice"]["figures"]["acted_uar"]
    assert list(refusals(biased)) == ["voice.acted_gender"]
    assert "worst male" in refusals(biased)["voice.acted_gender"]


def test_a_gap_that_was_there_before_and_is_no_chance_is_refused_unless_explained():
    wide = results(0.0, 0.38)
    (finding,) = [each for each in gate.judge(wide, wide, RULES) if each.name == "voice.acted_gender"]
    assert finding.verdict == "refused"
    assert "no chance" in finding.says
    explained = msgspec.structs.replace(RULES, gaps={"voice.acted_gender": 0.4})
    assert all(each.verdict == "ok" for each in gate.judge(wide, wide, explained))


def test_a_fallen_figure_is_refused_with_what_is_allowed():
    fallen = refusals(results(0.23, 0.23))
    assert set(fallen) == {"voice.acted_accuracy", "voice.acted_uar", "voice.acted_macro_f1"}
    assert "worse by 0.03" in fallen["voice.acted_uar"]
    assert "allowed 0.02" in fallen["voice.acted_uar"]


def test_what_is_no_longer_measured_is_refused():
    bare = {"voice": {"figures": {}, "intervals": {}, "slices": {}}}
    assert set(refusals(bare)) >= {"voice.acted_uar", "voice.acted_gender"}


def test_a_floor_is_a_floor_and_a_missed_one_has_a_bar():
    strict = msgspec.structs.replace(RULES, floors={"voice.acted_uar": Floor(aim=0.9, least=0.85)})
    assert "misses the floor of at least 0.85" in refusals(COMMITTED, strict)["voice.acted_uar"]
    told = msgspec.structs.replace(strict, missed={"voice.acted_uar": Missed(bar=0.8, reason="few speakers")})
    assert refusals(COMMITTED, told) == {}
    assert "few speakers" in next(
        each.says for each in gate.judge(COMMITTED, COMMITTED, told) if each.verdict == "missed"
    )
    assert "falls behind the bar" in refusals(results(0.25, 0.25), told)["voice.acted_uar"]
    error = msgspec.structs.replace(RULES, floors={"voice.acted_ece": Floor(aim=0.03, most=0.05)})
    assert "at most 0.05" in refusals(COMMITTED, error)["voice.acted_ece"]


def test_the_command_prints_reasons_and_records_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rules = tmp_path / "gate.toml"
    head = "# kept\ndrop = 0.02\nwidening = 0.03\ngap = 0.15\n"
    rules.write_text(head + '[floors]\n"voice.acted_uar" = { least = 0.85, aim = 0.9 }\n', "utf-8")
    write(tmp_path / "committed/voice.json", COMMITTED["voice"])
    write(tmp_path / "candidate/voice.json", results(0.0, 0.38)["voice"])
    arguments = ["--committed", str(tmp_path / "committed"), "--rules", str(rules)]
    assert gate.main(arguments) == 1
    assert gate.main([*arguments, "--record"]) == 0
    assert rules.read_text("utf-8").startswith("# kept")
    assert gate.read_rules(rules).missed["voice.acted_uar"].bar == 0.8
    assert gate.main([*arguments, "--candidate", str(tmp_path / "candidate")]) == 1
    assert "refused  voice.acted_gender" in capsys.readouterr().out
    rules.write_text(head, "utf-8")
    with pytest.raises(ValueError, match=r"gate\.toml.*floors"):
        gate.read_rules(rules)


def test_the_committed_results_pass_the_committed_gate(capsys: pytest.CaptureFixture[str]):
    assert gate.main([]) == 0
    rules = gate.read_rules()
    floors = gate.read_results(PACK / "results", rules)
    assert all(bar.reason for bar in rules.missed.values())
    assert set(rules.missed) <= set(rules.floors)
    for name, bar in rules.missed.items():
        file, figure = name.split(".", 1)
        assert floors[file]["figures"][figure] == bar.bar, "run `python -m models.evaluate.gate --record`"
