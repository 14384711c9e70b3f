"""The model pack: manifest, licence profile and files that are what the manifest says."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from sidecar.errors import PackError
from sidecar.inference.licences import clauses
from sidecar.inference.manifest import MANIFEST, ModelSpec, Role, read_manifest
from sidecar.types import Modality

Licence = Literal["research", "commercial"]

_log = logging.getLogger(__name__)


class FileState(StrEnum):
    """What became of a file of the pack."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"


@dataclass(frozen=True, slots=True)
class FileFinding:
    """One file of the pack against the manifest."""

    model: ModelSpec
    path: Path
    sha256: str
    """As the manifest has it."""
    state: FileState


@dataclass(frozen=True, slots=True)
class Pack:
    """Verified models, by name."""

    folder: Path
    models: Mapping[str, ModelSpec]

    def choose(self, modality: Modality, role: Role, name: str | None = None) -> ModelSpec | None:
        """The model for a task: the one called `name`, else the first in the manifest, else None.

        Raises `PackError` where `name` does not fit the task.
        """
        fitting = [spec for spec in self.models.values() if spec.modality == modality and spec.role == role]
        if name is None:
            return fitting[0] if fitting else None
        for spec in fitting:
            if spec.name == name:
                return spec
        known = ", ".join(spec.name for spec in fitting) or "none"
        raise PackError(f"{self.folder / MANIFEST}: no {modality} {role} is called {name!r}; there are: {known}")

    def path(self, spec: ModelSpec) -> Path:
        """The graph of a model."""
        return self.folder / spec.file

    def extra(self, spec: ModelSpec, name: str) -> Path:
        """A file that goes with a model. Raises `PackError` where the manifest has none of that name."""
        for extra in spec.files:
            if extra.name == name:
                return self.folder / extra.file
        raise PackError(f"{self.folder / MANIFEST}: model {spec.name!r}, key 'files': needs one called {name!r}")


def list_models(folder: Path) -> tuple[ModelSpec, ...]:
    """What the manifest declares, unverified. Raises `PackError`."""
    return read_manifest(folder)


def verify(folder: Path) -> Iterator[FileFinding]:
    """Compare every file of the pack with the manifest. Raises `PackError` for the manifest itself."""
    for spec in read_manifest(folder):
        for file, sha256 in spec.paths():
            yield FileFinding(spec, folder / file, sha256, file_state(folder / file, sha256))


def load_pack(folder: Path, licence: Licence) -> Pack:
    """The whole pack, every file verified, fit for the licence profile.

    Raises `PackError` naming the file or model and what to do.
    """
    for finding in verify(folder):
        if finding.state is not FileState.OK:
            raise PackError(_complaint(finding))
    models = {spec.name: spec for spec in read_manifest(folder)}
    refused = [spec for spec in models.values() if not spec.commercial]
    if refused and licence == "commercial":
        raise PackError(
            f"{'; '.join(_refusal(spec) for spec in refused)}. Remove what is refused from {folder / MANIFEST}, or use "
            "the licence profile 'research'"
        )
    for spec in refused:
        _log.warning("model %s is for non-commercial use only (%s)", spec.title, spec.licence)
    return Pack(folder, models)


def file_state(path: Path, sha256: str) -> FileState:
    """Whether a file is there and has the digest."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return FileState.MISSING
    return FileState.OK if digest == sha256 else FileState.ALTERED


def _refusal(spec: ModelSpec) -> str:
    return (
        f"model {spec.name!r} is under {spec.licence}, which the licence profile 'commercial' refuses: "
        f"{'; '.join(clauses(spec.licence))}"
    )


def _complaint(finding: FileFinding) -> str:
    source = finding.model.source
    remedy = "restore it from the repository, or install the sidecar again"
    if source != "repository":
        remedy = "run `sidecar models fetch`"
    what = "is missing" if finding.state is FileState.MISSING else "does not have the SHA-256 of the manifest"
    return f"{finding.path}: {what} (model {finding.model.name!r}); {remedy}"
