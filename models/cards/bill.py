"""The pack as a CycloneDX 1.6 machine-learning bill of materials (https://cyclonedx.org/docs/1.6/json/)."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

from models.cards.facts import Facts
from models.datasets.corpus import Corpus
from sidecar.inference.licences import clauses
from sidecar.inference.manifest import ModelSpec

_SPDX: Final = ("Apache-2.0", "MIT", "GPL-3.0-only", "CC-BY-SA-4.0", "CC-BY-NC-SA-4.0")
_AS_SPDX: Final = {"GPL-3.0": "GPL-3.0-only", "CC BY-SA 4.0": "CC-BY-SA-4.0", "CC BY-NC-SA 4.0": "CC-BY-NC-SA-4.0"}


def bill_of_materials(known: Sequence[Facts]) -> str:
    """JSON, the same for the same pack: its serial number is made of the digests, and it has no time."""
    corpora = {corpus.name: corpus for facts in known for corpus in facts.corpora}
    digests = "".join(facts.spec.sha256 for facts in known)
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(digests.encode()).digest()[:16], version=4)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "pack", "name": "engagement-sidecar model pack"}},
        "components": [*(_model(facts) for facts in known), *(_corpus(corpus) for corpus in corpora.values())],
        "dependencies": [
            {"ref": "pack", "dependsOn": [_ref(facts.spec) for facts in known]},
            *({"ref": _ref(facts.spec), "dependsOn": [f"corpus:{c.name}" for c in facts.corpora]} for facts in known),
        ],
    }
    return json.dumps(bom, indent=2, ensure_ascii=False) + "\n"


def _model(facts: Facts) -> dict[str, Any]:
    spec = facts.spec
    return {
        "type": "machine-learning-model",
        "bom-ref": _ref(spec),
        "name": spec.name,
        "version": spec.version,
        "description": " ".join(facts.texts["purpose"].split()),
        "hashes": [{"alg": "SHA-256", "content": spec.sha256}],
        "licenses": [_licence(spec.licence)],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": facts.texts["task"],
                "datasets": [{"ref": f"corpus:{corpus.name}"} for corpus in facts.corpora],
                "inputs": [{"format": _format(tensor.name, tensor.shape, tensor.units)} for tensor in spec.input],
                "outputs": [{"format": _format(tensor.name, tensor.shape, tensor.units)} for tensor in spec.output],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(facts)},
            "considerations": _considerations(facts),
        },
        "properties": [
            {"name": "sidecar:file", "value": spec.file},
            {"name": "sidecar:source", "value": spec.source},
            {"name": "sidecar:recipe", "value": spec.recipe},
            {"name": "sidecar:commercial", "value": str(spec.commercial).lower()},
            *({"name": "sidecar:trained_on", "value": each} for each in spec.trained_on),
            *({"name": f"sidecar:sha256:{extra.file}", "value": extra.sha256} for extra in spec.files),
        ],
    }


def _metrics(facts: Facts) -> list[dict[str, Any]]:
    if not facts.result:
        return [{"type": name, "value": f"{value:g}"} for name, value in facts.spec.metrics.items()]
    intervals = facts.result["intervals"]
    plain = [
        {"type": name, "value": str(value), **(_interval(*intervals[name]) if name in intervals else {})}
        for name, value in facts.result["figures"].items()
    ]
    sliced = [
        {"type": each["figure"], "value": str(found["uar"]), "slice": f"{name}: {kind}"}
        for name, each in facts.result["slices"].items()
        if isinstance(each, dict)
        for kind, found in each["slices"].items()
    ]
    return plain + sliced


def _interval(low: float, high: float) -> dict[str, Any]:
    return {"confidenceInterval": {"lowerBound": str(low), "upperBound": str(high)}}


def _considerations(facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {
        "useCases": [" ".join(facts.texts["purpose"].split())],
        "technicalLimitations": [*facts.texts["limits"], *facts.result.get("notes", [])],
    }
    risks = [("licence", clause) for clause in ([] if facts.spec.commercial else clauses(facts.spec.licence))]
    if "not_for" in facts.texts:
        risks.append(("misuse", " ".join(facts.texts["not_for"].split())))
    if risks:
        found["ethicalConsiderations"] = [{"name": name, "mitigationStrategy": text} for name, text in risks]
    return found


def _corpus(corpus: Corpus) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": f"corpus:{corpus.name}",
        "name": corpus.name,
        "description": corpus.citation,
        "licenses": [_licence(corpus.licence)],
        "data": [{"type": "dataset", "name": corpus.name, "contents": {"url": corpus.source}}],
    }


def _licence(text: str) -> dict[str, Any]:
    known = _AS_SPDX.get(text, text)
    return {"license": {"id": known} if known in _SPDX else {"name": text}}


def _ref(spec: ModelSpec) -> str:
    return f"model:{spec.name}@{spec.version}"


def _format(name: str, shape: tuple[int | str, ...], units: str) -> str:
    return f"{name} {'x'.join(map(str, shape))}: {units}"
