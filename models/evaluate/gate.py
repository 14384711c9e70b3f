"""The release gate: whether a candidate's results may replace the committed ones.

    python -m models.evaluate.gate                    # the committed results against the floors
    python -m models.evaluate.gate --candidate DIR    # a candidate's, as `models.evaluate --results DIR` wrote them
    python -m models.evaluate.gate --record           # after a training: the bars of the floors that are still missed

`models/gate.toml` has the floors and what may change. Exit code 1 where the candidate is refused, with a line for each
reason: which figure, by how much, and what is allowed.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from models.evaluate.results import PACK, read
from sidecar.types import Options

GATE: Final = PACK / "gate.toml"
FALLING: Final = ("ece", "brier")
"""Figures that are better when smaller."""
Results = Mapping[str, Mapping[str, Any]]
"""Results files by name, without `.json`."""


class Floor(Options, frozen=True):
    """What a figure must reach, and what it is to reach one day."""

    aim: float | None = None
    least: float | None = None
    most: float | None = None


class Missed(Options, frozen=True):
    """A floor that the committed weights do not reach: the bar that stands in for it, and why."""

    bar: float
    reason: str


class Rules(Options, frozen=True):
    """`models/gate.toml`. Figures are named FILE.FIGURE, slices FILE.SLICE."""

    floors: dict[str, Floor]
    drop: float
    """A figure with an interval or a floor may get worse by so much, one above 1 by that share of itself."""
    widening: float
    """A gap between slices may grow by so much."""
    gap: float
    """A gap that is significant at 5 % may be so wide."""
    gaps: dict[str, float] = msgspec.field(default_factory=dict)
    """Slices that may be wider apart, each explained where it stands."""
    missed: dict[str, Missed] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the gate says of one figure or gap."""

    verdict: Literal["ok", "missed", "refused"]
    name: str
    says: str


def read_rules(path: Path = GATE) -> Rules:
    """Raises ValueError naming the file and the key."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Rules)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: {error}; correct that key") from error


def read_results(folder: Path, rules: Rules) -> dict[str, dict[str, Any]]:
    """The files that the floors name. Raises FileNotFoundError naming the command that writes one."""
    return {name: read(folder / f"{name}.json") for name in dict.fromkeys(key.split(".")[0] for key in rules.floors)}


def judge(candidate: Results, committed: Results, rules: Rules) -> list[Finding]:
    """Every floor, every figure with an interval, every slice."""
    return [
        *(_floor(name, floor, candidate, rules) for name, floor in rules.floors.items()),
        *_drops(candidate, committed, rules),
        *_gaps(candidate, committed, rules),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.evaluate.gate", description="Judge a candidate's results.")
    parser.add_argument("--candidate", type=Path, metavar="DIR", help="its results; the committed ones by default")
    parser.add_argument("--committed", type=Path, metavar="DIR", default=PACK / "results")
    parser.add_argument("--rules", type=Path, metavar="FILE", default=GATE)
    parser.add_argument("--record", action="store_true", help="write the bars of missed floors anew")
    options = parser.parse_args(arguments)
    rules = read_rules(options.rules)
    committed = read_results(options.committed, rules)
    if options.record:
        record(committed, rules, options.rules)
        rules = read_rules(options.rules)
    findings = judge(read_results(options.candidate or options.committed, rules), committed, rules)
    for finding in sorted(findings, key=lambda each: ("refused", "missed", "ok").index(each.verdict)):
        print(f"{finding.verdict:8} {finding.name:40} {finding.says}")
    refused = sum(finding.verdict == "refused" for finding in findings)
    print(f"{'refused' if refused else 'passed'}: {refused} of {len(findings)} checks speak against it")
    return 1 if refused else 0


def record(committed: Results, rules: Rules, path: Path = GATE) -> None:
    """Write `[missed]` anew: the floors that the committed results miss, their values, and the reasons so far."""
    import tomlkit

    document = tomlkit.parse(path.read_text("utf-8"))
    missed = tomlkit.table()
    for name, floor in rules.floors.items():
        value = _figure(name, committed)
        if value is None or _reaches(value, floor):
            continue
        known = rules.missed.get(name)
        told = "what was tried is told in models/results/log.md"
        entry = tomlkit.inline_table()
        entry.update({"bar": value, "reason": known.reason if known else told})
        missed.add(name, entry)
    document["missed"] = missed
    path.write_text(tomlkit.dumps(document), "utf-8")


def _floor(name: str, floor: Floor, candidate: Results, rules: Rules) -> Finding:
    value = _figure(name, candidate)
    wanted = f"at least {floor.least}" if floor.least is not None else f"at most {floor.most}"
    if value is None:
        return Finding("refused", name, f"not measured; the floor is {wanted}")
    if _reaches(value, floor):
        return Finding("ok", name, f"{value}, floor {wanted}{'' if floor.aim is None else f', aim {floor.aim}'}")
    missed = rules.missed.get(name)
    if missed is None:
        return Finding("refused", name, f"{value} misses the floor of {wanted}")
    if _loss(name, missed.bar, value) > _allowed(missed.bar, rules):
        return Finding("refused", name, f"{value} misses the floor of {wanted} and falls behind the bar {missed.bar}")
    return Finding("missed", name, f"{value}, floor {wanted}: {missed.reason}")


def _drops(candidate: Results, committed: Results, rules: Rules) -> Iterator[Finding]:
    for file, results in committed.items():
        for figure in results["figures"]:
            name = f"{file}.{figure}"
            if figure not in results.get("intervals", {}) and name not in rules.floors:
                continue
            before, now = results["figures"][figure], candidate[file]["figures"].get(figure)
            if now is None:
                yield Finding("refused", name, f"not measured; {before} is committed")
            elif (loss := _loss(name, before, now)) > _allowed(before, rules):
                yield Finding(
                    "refused",
                    name,
                    f"{now}, committed {before}: worse by {loss:.4f}, allowed {_allowed(before, rules)}",
                )
            else:
                yield Finding("ok", name, f"{now}, committed {before}")


def _gaps(candidate: Results, committed: Results, rules: Rules) -> Iterator[Finding]:
    for file, results in committed.items():
        now_sliced = candidate[file].get("slices", {})
        for key, before in results.get("slices", {}).items():
            name, now = f"{file}.{key}", now_sliced.get(key)
            if not isinstance(before, Mapping):
                continue
            if now is None:
                yield Finding("refused", name, "no longer sliced")
                continue
            most = rules.gaps.get(name, rules.gap)
            told = f"gap {now['gap']} ({_worst(now)}), committed {before['gap']}"
            if now["gap"] - before["gap"] > rules.widening:
                yield Finding("refused", name, f"{told}: wider by more than {rules.widening}")
            elif now["gap"] > most and now["p"] is not None and now["p"] < 0.05:
                yield Finding("refused", name, f"{told}: wider than {most} and no chance (p {now['p']})")
            else:
                yield Finding("ok", name, told)


def _worst(slices: Mapping[str, Any]) -> str:
    values = {name: each["uar"] for name, each in slices["slices"].items()}
    worst = min(values, key=lambda name: values[name])
    return f"worst {worst}: {values[worst]}"


def _figure(name: str, results: Results) -> float | None:
    file, figure = name.split(".", 1)
    value = results[file]["figures"].get(figure)
    return None if value is None else float(value)


def _reaches(value: float, floor: Floor) -> bool:
    return (floor.least is None or value >= floor.least) and (floor.most is None or value <= floor.most)


def _allowed(before: float, rules: Rules) -> float:
    """How much worse a figure may get; of a ratio above 1, that share of it."""
    return rules.drop * max(1.0, before)


def _loss(name: str, before: float, now: float) -> float:
    """By how much the figure got worse; below 0 where it got better."""
    return round(now - before if name.endswith(FALLING) else before - now, 6)


if __name__ == "__main__":
    sys.exit(main())
