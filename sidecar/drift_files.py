"""The counts that drift is found in, and what they are compared with: three small files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from sidecar.errors import ConfigurationError
from sidecar.files import replace_file

KEPT_WEEKS: Final = 12

Counts = dict[str, int]
"""Answer -> how often it was given."""
Week = dict[str, dict[str, Counts]]
"""Modality -> model and version -> counts by base emotion; `estimates` -> `fused` -> counts of given and abstained."""


class Reference(msgspec.Struct, frozen=True):
    """What the outputs of a model are compared with."""

    origin: str
    """`validation`, or the week that was accepted."""
    shares: dict[str, float]


class _Result(msgspec.Struct):
    """The part of a results file of the pack that matters here."""

    model: dict[str, str]
    distribution: dict[str, float]


_T = TypeVar("_T")


class DriftFiles:
    """`drift.json`, which the worker writes, `drift-accepted.json`, which the operator does, and the pack's results."""

    def __init__(self, state: Path, pack: Path) -> None:
        self._weeks = state / "drift.json"
        self._accepted = state / "drift-accepted.json"
        self._results = pack / "results"

    def weeks(self) -> dict[str, Week]:
        """By name, the oldest first; empty where nothing was kept yet. Raises `ConfigurationError`."""
        return dict(sorted((_read(self._weeks, dict[str, Week]) or {}).items()))

    def save(self, weeks: Mapping[str, Week]) -> None:
        """Keep the newest weeks."""
        _write(self._weeks, dict(sorted(weeks.items())[-KEPT_WEEKS:]))

    def accept(self) -> list[str]:
        """Make the newest counts of each model its reference from now on; names the models."""
        accepted: dict[str, Reference] = {}
        for name, week in self.weeks().items():
            for modality, models in week.items():
                if modality != "estimates":
                    accepted |= {model: Reference(name, _shares(counts)) for model, counts in models.items()}
        _write(self._accepted, (_read(self._accepted, dict[str, Reference]) or {}) | accepted)
        return sorted(accepted)

    def reference(self, modality: str, model: str) -> Reference | None:
        """What the operator accepted for this model, else what it said on the pack's validation data, else None."""
        accepted = (_read(self._accepted, dict[str, Reference]) or {}).get(model)
        if accepted is not None:
            return accepted
        result = _read(self._results / f"{modality}.json", _Result)
        if result is None or f"{result.model['name']} {result.model['version']}" != model:
            return None
        return Reference("validation", result.distribution)


def _shares(counts: Counts) -> dict[str, float]:
    total = sum(counts.values())
    return {answer: count / total for answer, count in counts.items()}


def _read(path: Path, kind: type[_T]) -> _T | None:
    """None where there is no such file. Raises `ConfigurationError` naming one that is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}; restore it or remove it") from error


def _write(path: Path, content: object) -> None:
    """Whole or not at all. Raises `ConfigurationError`."""
    try:
        replace_file(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    except OSError as error:
        raise ConfigurationError(f"SIDECAR_STATE: cannot write {path}: {error.strerror}") from error
