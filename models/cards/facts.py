"""What is known of each model of a pack: manifest, results, corpora, and the texts of this folder."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.datasets.catalogue import CORPORA
from models.datasets.corpus import Corpus
from models.evaluate.results import read
from sidecar.inference.manifest import MANIFEST, ModelSpec, read_manifest

TEXTS: Final = Path(__file__).parent / "texts.toml"


class CardError(Exception):
    """The pack contradicts itself; the message names the model and the fix."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one model."""

    spec: ModelSpec
    result: Mapping[str, Any]
    """Its results file; empty for a model that is not evaluated here."""
    corpora: tuple[Corpus, ...]
    """What it was trained on, of the corpora known here."""
    texts: Mapping[str, Any]


def known(pack: Path) -> list[Facts]:
    """Of every model, in the manifest's order. Raises `CardError`, `PackError`, FileNotFoundError."""
    return [_facts(spec, pack) for spec in read_manifest(pack)]


def _facts(spec: ModelSpec, pack: Path) -> Facts:
    """Raises `CardError` where the sources contradict each other."""
    corpora = trained_on(spec)
    closed = [corpus for corpus in corpora if not corpus.commercial]
    if spec.commercial and closed:
        raise CardError(
            f"{pack / MANIFEST}: model {spec.name!r} says commercial = true, but is trained on "
            f"{', '.join(f'{corpus.name} ({corpus.licence})' for corpus in closed)}; set it to false"
        )
    texts = tomllib.loads(TEXTS.read_text("utf-8"))
    own = texts[spec.modality][spec.role]
    return Facts(spec, _result(spec, pack), corpora, {**texts.get(spec.role, {}), **own})


def trained_on(spec: ModelSpec) -> tuple[Corpus, ...]:
    """The corpora that the manifest means: what it says of the training begins with their name or their citation."""
    said = [_plain(each) for each in spec.trained_on]
    return tuple(
        corpus
        for corpus in CORPORA.values()
        if any(each.startswith((_plain(corpus.name), _plain(corpus.citation))) for each in said)
    )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower().replace("+", "plus") if letter.isalnum())


def _result(spec: ModelSpec, pack: Path) -> dict[str, Any]:
    """Of exactly these weights."""
    if spec.role != "encoder":
        return {}
    names = (spec.name, str(spec.modality))
    path = next(
        (pack / "results" / f"{name}.json" for name in names if (pack / "results" / f"{name}.json").exists()), None
    )
    result = read(path or pack / "results" / f"{spec.modality}.json")
    if result["model"]["sha256"] != spec.sha256:
        raise CardError(
            f"{path}: is about other weights of {spec.name}; run `python -m models.evaluate {spec.modality}`"
        )
    return result
