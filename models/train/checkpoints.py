"""Checkpoints know what they were made from, so that a training never goes on from another recipe or corpus."""

import dataclasses
import hashlib
import pickle
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

_KEY: Final = "fingerprint"


class CheckpointMismatch(Exception):
    """A checkpoint cannot be resumed from: it is damaged, or belongs to another recipe or corpus."""


def fingerprint(*parts: Any) -> str:
    """SHA-256 of the content of recipes, arrays, networks, records and plain values, in hex."""
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
    return digest.hexdigest()


def save(path: Path, state: Mapping[str, Any], made_from: str) -> None:
    """Write `state` and the fingerprint in one step: a killed training leaves the checkpoint before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({**state, _KEY: made_from}, partial)
    partial.rename(path)


def load(path: Path, made_from: str) -> dict[str, Any] | None:
    """The state that `save` left with the same fingerprint, or None without a file. Raises `CheckpointMismatch`."""
    try:
        state: dict[str, Any] = torch.load(path)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointMismatch(f"{path}: cannot be read ({error}); delete it, or train without --resume") from error
    if state.get(_KEY) != made_from:
        raise CheckpointMismatch(
            f"{path}: belongs to another recipe, corpus or starting point; train without --resume to begin again, or "
            "name another folder with --out"
        )
    return state


def _pieces(part: Any) -> Iterator[bytes]:
    """A tag for the kind of value, then its content, so that no two values give the same bytes."""
    yield type(part).__name__.encode()
    if isinstance(part, nn.Module):
        yield from _pieces(dict(part.state_dict()))
    elif isinstance(part, Tensor):
        yield f"{part.dtype} {tuple(part.shape)}".encode()
        yield part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(part, np.ndarray):
        yield f"{part.dtype} {part.shape}".encode()
        yield np.ascontiguousarray(part).tobytes()
    elif isinstance(part, msgspec.Struct):
        yield from _pieces({name: getattr(part, name) for name in part.__struct_fields__})
    elif dataclasses.is_dataclass(part):
        yield from _pieces({each.name: getattr(part, each.name) for each in dataclasses.fields(part)})
    elif isinstance(part, Mapping):
        yield from _items(part)
    elif isinstance(part, list | tuple):
        yield str(len(part)).encode()
        for value in part:
            yield from _pieces(value)
    elif part is None or isinstance(part, str | bytes | int | float | Path | Enum):
        yield repr(part).encode()
    else:
        raise TypeError(f"no fingerprint of a {type(part).__name__}")


def _items(mapping: Mapping[Any, Any]) -> Iterator[bytes]:
    yield str(len(mapping)).encode()
    for key in sorted(mapping, key=repr):
        yield from _pieces(key)
        yield from _pieces(mapping[key])
