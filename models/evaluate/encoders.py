"""The models of a pack, as evaluation opens them: by the manifest, on ONNX Runtime, one thread."""

from pathlib import Path

import msgspec

from models.evaluate.results import PACK
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec, read_manifest
from sidecar.types import Modality


def encoders(modality: Modality, pack: Path = PACK) -> tuple[ModelSpec, ...]:
    """The encoders of a modality, the default first. Raises `PackError` for a bad manifest."""
    return tuple(spec for spec in read_manifest(pack) if spec.modality is modality and spec.role == "encoder")


def encoder(modality: Modality, pack: Path = PACK, name: str | None = None) -> ModelSpec:
    """The encoder called `name`, else the default. Raises LookupError where the pack has none."""
    known = encoders(modality, pack)
    for spec in known:
        if name in (None, spec.name):
            return spec
    there = ", ".join(spec.name for spec in known) or "none"
    raise LookupError(f"{pack}: no {modality} encoder{f' called {name!r}' if name else ''}; there are: {there}")


def open_model(spec: ModelSpec, pack: Path = PACK, *, plain: bool = False) -> OrtModel:
    """One thread, as the sidecar runs it; `plain` keeps to ONNX Runtime's own CPU provider. Raises `PackError`."""
    return OrtModel(msgspec.structs.replace(spec, provider="cpu") if plain else spec, pack / spec.file)
