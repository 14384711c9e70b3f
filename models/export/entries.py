"""Writing the manifest of a pack: one entry at a time, the rest to the letter."""

from pathlib import Path
from typing import Any, Final

import msgspec
import tomlkit

from sidecar.inference.manifest import MANIFEST, ModelSpec

PACK: Final = Path(__file__).parents[1]
UNKNOWN_SHA256: Final = "0" * 64
"""What a new entry says of its file until `publish` has written it."""


def record(name: str, pack: Path = PACK, **changes: Any) -> ModelSpec:
    """Change keys of an entry, such as `metrics` or `calibration`. Raises LookupError where there is no such model."""
    changed = msgspec.structs.replace(read_entry(name, pack), **changes)
    write_entry(changed, pack)
    return changed


def read_entry(name: str, pack: Path = PACK) -> ModelSpec:
    """The entry of a model. Raises LookupError where there is no such model."""
    specs = msgspec.toml.decode((pack / MANIFEST).read_text("utf-8"), type=dict[str, list[ModelSpec]])["model"]
    for spec in specs:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in specs)
    raise LookupError(f"{name} is not in {pack / MANIFEST}; there are: {known}")


def write_entry(entry: ModelSpec, pack: Path = PACK) -> None:
    """Put the entry in the manifest, in the place of an older one of its name; the rest stays to the letter."""
    path = pack / MANIFEST
    document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    tables = document.setdefault("model", tomlkit.aot())
    places = [i for i, table in enumerate(tables) if table["name"] == entry.name]
    if places:
        tables[places[0]] = _table(entry)
    else:
        tables.append(_table(entry))
    msgspec.toml.decode(tomlkit.dumps(document), type=dict[str, list[ModelSpec]])
    partial = path.with_suffix(".partial")
    partial.write_text(tomlkit.dumps(document), "utf-8")
    partial.rename(path)


def prefer(name: str, pack: Path) -> None:
    """Put an entry first: of several encoders of one modality the sidecar runs the first."""
    path = pack / MANIFEST
    document = tomlkit.parse(path.read_text("utf-8"))
    tables = document["model"].unwrap()
    order = sorted(msgspec.convert(tables, list[ModelSpec]), key=lambda spec: spec.name != name)
    listed = tomlkit.aot()
    for spec in order:
        listed.append(_table(spec))
    document["model"] = listed
    path.write_text(tomlkit.dumps(document), "utf-8")


def _table(entry: ModelSpec) -> tomlkit.items.Table:
    """The entry without the keys that stand at their defaults; inner tables on one line each."""
    table = tomlkit.table()
    for field in msgspec.structs.fields(entry):
        value = getattr(entry, field.name)
        if value != field.default:
            table.add(field.name, _item(msgspec.to_builtins(value)))
    table.add(tomlkit.nl())
    return table


def _item(value: Any) -> Any:
    """TOML of a plain value; None is left out, since TOML has none."""
    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        inline.update({key: _item(inner) for key, inner in value.items() if inner is not None})
        return inline
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        array.extend(_item(inner) for inner in value)
        return array.multiline(any(isinstance(inner, dict) for inner in value))
    return value
