"""Small networks that the operator trained and the configuration names: a fusion, an engagement head.

They stand beside the manifest, which names a modality for each model, and run where they are called, once a second and
person.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from sidecar.errors import PackError
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec, Sha256
from sidecar.types import EMOTIONS, Modality


class HeadCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands beside the graph of an engagement head."""

    sha256: Sha256
    """Of the graph."""
    seconds: Annotated[int, msgspec.Meta(ge=1)]
    """How far back the graph looks."""
    features: tuple[str, ...]
    labels: tuple[str, ...]
    temperature: Annotated[float, msgspec.Meta(gt=0)]
    """The logits are divided by it before softmax."""
    trained_on: dict[str, int]
    """How many identities, recordings and seconds."""
    metrics: dict[str, Any]
    """Macro-F1 on identities that were held out, of the head and of the rules."""


@dataclass(frozen=True, slots=True)
class EngagementNetwork:
    """A loaded engagement head."""

    model: OrtModel
    card: HeadCard


def fusion_spec(path: Path, width: int) -> ModelSpec:
    """What a fusion graph looks like; `width` numbers of evidence a modality."""
    return _spec(
        "fusion",
        path,
        InputSpec(name="evidence", shape=("batch", len(Modality), width), type="float32", units="see learned.py"),
        len(EMOTIONS),
    )


def open_fusion_network(path: Path, width: int, threads: int = 1) -> OrtModel:
    """Raises `PackError` where the file is missing or no fusion network of that width."""
    if not path.is_file():
        raise PackError(f"{path}: no such file (engines.fusion_model); `python -m models.train.fusion` makes one")
    return OrtModel(fusion_spec(path, width), path, threads)


def head_spec(path: Path, seconds: int, features: int, labels: int) -> ModelSpec:
    """What the graph of an engagement head looks like."""
    table = InputSpec(
        name="seconds", shape=("batch", seconds, features), type="float32", units="see engagement_head.py"
    )
    return _spec("engagement", path, table, labels)


def open_engagement_network(path: Path, threads: int = 1) -> EngagementNetwork:
    """Raises `PackError` where a file is missing, altered or not of the described shape."""
    beside = path.with_suffix(".toml")
    try:
        graph, card = path.read_bytes(), msgspec.toml.decode(beside.read_bytes(), type=HeadCard)
    except OSError as error:
        raise PackError(
            f"{error.filename}: {error.strerror} (engines.engagement_model); `python -m models.train.engagement` makes "
            "the graph and the .toml beside it"
        ) from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise PackError(f"{beside}: {error}; train the head again") from error
    if hashlib.sha256(graph).hexdigest() != card.sha256:
        raise PackError(f"{path}: is not the graph that {beside.name} describes; keep the two files of one training")
    spec = head_spec(path, card.seconds, len(card.features), len(card.labels))
    return EngagementNetwork(OrtModel(spec, path, threads), card)


def _spec(name: str, path: Path, table: InputSpec, labels: int) -> ModelSpec:
    """The graph in the manifest's terms, as far as a graph beside the manifest has them."""
    return ModelSpec(
        name=name,
        version="1",
        modality=Modality.FACE,
        role="encoder",
        file=path.name,
        sha256="0" * 64,
        source=f"file:{path}",
        recipe=f"python -m models.train.{name}",
        licence="as of what it was trained on",
        commercial=False,
        trained_on=(),
        input=(table,),
        output=(OutputSpec(name="logits", shape=("batch", labels), units="before softmax"),),
        preprocess="see sidecar/fusion",
        provider="cpu",
    )
