"""A trained engagement head: a graph and the small TOML beside it, run where it is called, once a second and person."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from sidecar.errors import PackError
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import InputSpec, ModelSpec, OutputSpec, Sha256
from sidecar.types import Modality


class HeadCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands beside the graph."""

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
    """A loaded head."""

    model: OrtModel
    card: HeadCard


def head_spec(path: Path, seconds: int, features: int, labels: int) -> ModelSpec:
    """What such a graph looks like. It is not in the manifest, which names a modality for each model."""
    shape = ("batch", seconds, features)
    return ModelSpec(
        name="engagement",
        version="1",
        modality=Modality.FACE,
        role="encoder",
        file=path.name,
        sha256="0" * 64,
        source=f"file:{path}",
        recipe="python -m models.train.engagement",
        licence="as of the calls it was trained on",
        commercial=False,
        trained_on=(),
        input=(InputSpec(name="seconds", shape=shape, type="float32", units="see engagement_head.py"),),
        output=(OutputSpec(name="logits", shape=("batch", labels), units="before softmax"),),
        preprocess="sidecar.fusion.engagement_head.features",
        provider="cpu",
    )


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
        raise PackError(f"{beside}: {error}; train the head anew") from error
    if hashlib.sha256(graph).hexdigest() != card.sha256:
        raise PackError(f"{path}: is not the graph that {beside.name} describes; keep the two files of one training")
    spec = head_spec(path, card.seconds, len(card.features), len(card.labels))
    return EngagementNetwork(OrtModel(spec, path, threads), card)
