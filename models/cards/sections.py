"""The text of one model card: a head of YAML and the sections after it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from models.cards.facts import Facts
from sidecar.inference.licences import clauses

_HUB_LICENCES: Final = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0")
_LANGUAGES: Final = {"ravdess": "en", "nemo": "pl", "emodb": "de", "ased": "am", "emospeech": "hi"}
_METRICS: Final = {"accuracy": "accuracy", "uar": "recall", "macro_f1": "f1", "weighted_f1": "f1", "r": "pearsonr"}
"""Endings of our figures and Hugging Face's names of them."""
_MELD: Final = """\
MELD is under GPL-3.0, which allows commercial use and asks that works based on it be passed on under the same terms.
The weights hold no text of it; whether weights are a work based on their training data is settled nowhere, and the
licence cannot grant rights in the dialogue of the series itself. Who cannot live with that trains without it: leave
`meld` out of the recipe's `corpora`."""


def card(facts: Facts) -> str:
    """The whole card."""
    spec = facts.spec
    parts = [
        "---\n" + "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head(facts).items()),
        "---\n",
        f"# {spec.name} {spec.version}: {facts.texts['title']}\n",
        "Written by `python -m models.cards`; change the manifest, the results or `models/cards/texts.toml` instead.\n",
        _section("Intended use", facts.texts["purpose"].strip()),
        _section("Out of scope", facts.texts.get("not_for", "").strip()),
        _section("Inputs and outputs", "\n".join(_ports(facts))),
        _section("Training data", "\n".join(_data(facts))),
        _section("Licence", "\n".join(_licence(facts))),
        _section("Training", f"`{spec.recipe}` makes these weights{_start(facts)}. Source: {spec.source}."),
        _section("Figures", "\n".join(_figures(facts))),
        _section("Abstention", "\n".join(_coverage(facts))),
        _section("Slices", "\n".join(_slices(facts))),
        _section("Robustness", "\n".join(_robustness(facts))),
        _section(
            "Limits", "\n".join(f"- {limit}" for limit in [*facts.texts["limits"], *facts.result.get("notes", [])])
        ),
    ]
    return "\n".join(part for part in parts if part)


def head(facts: Facts) -> dict[str, Any]:
    """The metadata; every value is JSON, which YAML contains."""
    spec = facts.spec
    licence = _hub_licence(spec.licence)
    named = {} if licence != "other" else {"license_name": _slug(spec.licence), "license_link": "../../NOTICE"}
    evaluated = {"model-index": [{"name": spec.name, "results": list(_index(facts))}]} if facts.result else {}
    return {
        "license": licence,
        **named,
        "language": sorted({_LANGUAGES[c.name] for c in facts.corpora if c.name in _LANGUAGES} or set(spec.languages)),
        "library_name": "onnx",
        "pipeline_tag": facts.texts["task"],
        "tags": ["onnx", spec.modality, spec.role, *(["emotion-recognition"] if spec.role == "encoder" else [])],
        "datasets": [corpus.name for corpus in facts.corpora],
        "metrics": sorted({_METRICS[ending] for name in _headline(facts) if (ending := _ending(name))}),
        **evaluated,
    }


def _index(facts: Facts) -> Iterator[dict[str, Any]]:
    """The headline figures of each test set, which the heads are named after, and other figures begin with."""
    heads = list(facts.result["heads"])
    by_set: dict[str, list[dict[str, Any]]] = {}
    for figure in _headline(facts):
        ending = _ending(figure)
        alone = facts.corpora[0].name if heads == [facts.spec.modality] and facts.corpora else figure.split("_")[0]
        name = max((each for each in heads if figure.startswith(f"{each}_")), key=len, default=alone)
        if ending:
            metric = {"type": _METRICS[ending], "name": figure, "value": facts.result["figures"][figure]}
            by_set.setdefault(name, []).append(metric)
    for name, metrics in by_set.items():
        yield {
            "task": {"type": facts.texts["task"], "name": facts.texts["title"]},
            "dataset": {"type": name, "name": name},
            "metrics": metrics,
        }


def _headline(facts: Facts) -> list[str]:
    """The figures that have an interval."""
    return [name for name in facts.result.get("figures", {}) if name in facts.result["intervals"]]


def _ending(name: str) -> str | None:
    return next((ending for ending in _METRICS if name == ending or name.endswith(f"_{ending}")), None)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}\n" if text else ""


def _ports(facts: Facts) -> Iterator[str]:
    spec = facts.spec
    yield from _table(
        ("port", "name", "shape", "meaning"),
        [
            (
                port,
                tensor.name,
                " x ".join(map(str, tensor.shape)),
                f"{getattr(tensor, 'type', '')} {tensor.units}".strip(),
            )
            for port, tensors in (("input", spec.input), ("output", spec.output))
            for tensor in tensors
        ],
    )
    yield f"\n{spec.preprocess}"
    if spec.labels:
        meant = ", ".join(f"{label} ({spec.map[label]})" for label in spec.labels)
        yield f"\nLabels, in the order of the logits, with their base emotions: {meant}."
        yield f"\nProbabilities are softmax(logits / {spec.calibration.temperature}), before the product's prior."


def _data(facts: Facts) -> Iterator[str]:
    yield from (f"- {each}" for each in facts.spec.trained_on)
    if facts.corpora:
        yield ""
        rows = [
            (c.name, c.licence, "allowed" if c.commercial else "not allowed", f"{c.citation}; {c.source}")
            for c in facts.corpora
        ]
        yield from _table(("corpus", "licence", "commercial use", "source"), rows)


def _licence(facts: Facts) -> Iterator[str]:
    spec = facts.spec
    yield f"{spec.licence}. Commercial use: {'allowed' if spec.commercial else 'not allowed'}.\n"
    if not spec.commercial:
        yield from (f"- {clause}" for clause in clauses(" ".join((spec.licence, *(c.licence for c in facts.corpora)))))
    if any(corpus.name == "meld" for corpus in facts.corpora):
        yield f"\n{_MELD}"


def _start(facts: Facts) -> str:
    return "" if facts.spec.role == "encoder" else ", from the publishers' file"


def _figures(facts: Facts) -> Iterator[str]:
    if not facts.result:
        yield from _table(("figure", "value"), [(name, f"{value:g}") for name, value in facts.spec.metrics.items()])
        return
    intervals = facts.result["intervals"]
    rows = [
        (name, value, " to ".join(f"{bound:.3f}" for bound in intervals[name]) if name in intervals else "")
        for name, value in facts.result["figures"].items()
    ]
    yield from _table(("figure", "value", "95 % interval"), rows)
    yield "\nIntervals draw whole speakers with replacement where the corpus names them, else single rows.\n"
    for name, found in facts.result["heads"].items():
        if name.startswith(("call_", "live_")):
            continue
        yield from _table(
            (name, "answers", "recall", "F1"),
            [(label, each["answers"], each["recall"], each["f1"]) for label, each in found["classes"].items()],
        )
        yield ""


def _coverage(facts: Facts) -> Iterator[str]:
    heads = facts.result.get("heads", {})
    if heads:
        yield "Accuracy over the surest answers, when the rest is not given:\n"
        shares = list(next(iter(heads.values()))["coverage"])
        rows = [(name, *(found["coverage"][share] for share in shares)) for name, found in heads.items()]
        yield from _table(("head", *shares), rows)


def _slices(facts: Facts) -> Iterator[str]:
    if not facts.result:
        return
    sliced = {name: each for name, each in facts.result["slices"].items() if isinstance(each, Mapping)}
    rows = [
        (
            name,
            kind,
            found["uar"],
            found["answers"],
            found["people"],
            each["gap"],
            "too few people" if each["p"] is None else each["p"],
        )
        for name, each in sliced.items()
        for kind, found in each["slices"].items()
    ]
    yield from _table(("slice", "group", "UAR", "answers", "people", "gap", "p"), rows)
    absent = facts.result["slices"]["absent"]
    yield f"\n`p`: how often chance deals out so wide a gap (permutation test over people). {absent}"


def _robustness(facts: Facts) -> Iterator[str]:
    rows = [
        (flaw, degree, ", ".join(f"{name} {value}" for name, value in found.items()))
        for flaw, degrees in facts.result.get("robustness", {}).items()
        for degree, found in degrees.items()
    ]
    if rows:
        yield from _table(("flaw", "degree", "figures"), rows)


def _table(titles: Sequence[object], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    for row in (titles, ["---"] * len(titles), *rows):
        yield "| " + " | ".join("" if cell is None else str(cell).replace("|", "/") for cell in row) + " |"


def _hub_licence(licence: str) -> str:
    begins = licence.lower().replace(" ", "-")
    return next((each for each in _HUB_LICENCES if begins == each), "other")


def _slug(text: str) -> str:
    letters = "".join(letter if letter.isalnum() or letter == "." else "-" for letter in text.lower())
    return "-".join(filter(None, letters.split("-")))
