"""The model manifest: what an outside scorer needs to know of each model, as typed values.

Reading is strict: an unknown key, a wrong type, a label without a base emotion or a file outside the pack's
folder is a `PackError` that names the file and the key.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

import msgspec

from sidecar.errors import PackError
from sidecar.types import EMOTIONS, Modality

MANIFEST: Final = "manifest.toml"

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]*$")]
Role = Literal["encoder", "detector", "landmarks", "iris", "vad"]
ElementType = Literal["float32", "float16", "uint8", "int32", "int64", "bool"]

_SOURCE: Final = re.compile(r"repository|hf:[^/@]+/[^/@]+@[^/@]+/.+|https://.+|file:.+")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the manifest."""


class InputSpec(_Table, frozen=True):
    """One input of a graph. A dimension is a number, or a name (`batch`, `tokens`) where it is free."""

    name: str
    shape: tuple[int | str, ...]
    type: ElementType
    units: str


class OutputSpec(_Table, frozen=True):
    """One output of a graph."""

    name: str
    shape: tuple[int | str, ...]
    units: str


class Calibration(_Table, frozen=True):
    """How logits become probabilities: softmax(logits / temperature * scale + bias); see `fusion/calibration.py`."""

    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    scale: tuple[float, ...] | None = None
    """One a label, as `bias` and `prior`."""
    bias: tuple[float, ...] | None = None
    prior: tuple[float, ...] | None = None
    """Shares of the labels that the head was trained under."""
    energy_limit: float | None = None
    """Free energy of the logits above which the input is unlike the training data."""
    typical: tuple[tuple[float, ...], ...] | None = None
    """A row a label: the mean logits of speech of that label over many people; see `fusion/speaker_baseline.py`."""


class ExtraFile(_Table, frozen=True):
    """A file that goes with a graph, such as a tokenizer."""

    name: str
    file: str
    sha256: Sha256


class ModelSpec(_Table, frozen=True):
    """One `[[model]]` of the manifest."""

    name: Name
    version: str
    modality: Modality
    role: Role
    file: str
    """Relative to the manifest's folder."""
    sha256: Sha256
    source: str
    """`repository`, `hf:OWNER/REPO@REVISION/PATH`, `https://...` or `file:PATH`."""
    recipe: str
    licence: str
    commercial: bool
    trained_on: tuple[str, ...]
    input: tuple[InputSpec, ...]
    output: tuple[OutputSpec, ...]
    preprocess: str
    labels: tuple[str, ...] = ()
    """In the order of the graph's logits."""
    map: dict[str, str] = {}
    """Label to base emotion."""
    calibration: Calibration = Calibration()
    metrics: dict[str, Any] = {}
    files: tuple[ExtraFile, ...] = ()
    languages: tuple[str, ...] = ("en",)
    """ISO 639-1 codes of what a text model reads."""
    provider: Literal["auto", "cpu"] = "auto"
    """`cpu` where an accelerated provider alters the figures of this graph."""

    @property
    def title(self) -> str:
        """Name and version as events publish them."""
        return f"{self.name} {self.version}"

    def paths(self) -> Iterable[tuple[str, str]]:
        """Every file of the model with its SHA-256, the graph first."""
        yield self.file, self.sha256
        for extra in self.files:
            yield extra.file, extra.sha256


class _Manifest(_Table, frozen=True):
    model: tuple[ModelSpec, ...]


def read_manifest(folder: Path) -> tuple[ModelSpec, ...]:
    """The models that `folder`/manifest.toml declares. Raises `PackError`."""
    path = folder / MANIFEST
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PackError(f"{path}: cannot be read ({reason}); set SIDECAR_MODELS to a folder with {MANIFEST}") from error
    try:
        specs = msgspec.toml.decode(text, type=_Manifest).model
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise PackError(f"{path}: {error}; correct that key or restore the file") from error
    for spec in specs:
        for key, problem in _problems(spec):
            raise PackError(f"{path}: model {spec.name!r}, key {key!r}: {problem}")
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise PackError(f"{path}: key 'name': two models are called {name!r}; rename one")
    return specs


def _problems(spec: ModelSpec) -> Iterable[tuple[str, str]]:
    """Key and complaint for each rule that types alone cannot state."""
    if not _SOURCE.fullmatch(spec.source):
        yield "source", f"{spec.source!r} is none of repository, hf:OWNER/REPO@REVISION/PATH, https://..., file:PATH"
    for file, _ in spec.paths():
        parts = PurePosixPath(file)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            yield "file", f"{file!r} must lie inside the folder of the manifest"
    if set(spec.map) != set(spec.labels):
        yield "map", f"must name exactly the labels; differing: {sorted(set(spec.map) ^ set(spec.labels))}"
    for label, emotion in spec.map.items():
        if emotion not in EMOTIONS:
            yield "map", f"{label!r} goes to {emotion!r}, which is not one of {', '.join(EMOTIONS)}"
    for output in spec.output:
        width = output.shape[-1] if output.shape else None
        if output.name == "logits" and isinstance(width, int) and width != len(spec.labels):
            yield "labels", f"{len(spec.labels)} labels for {width} logits"
