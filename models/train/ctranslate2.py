"""Reads a CTranslate2 model file: the weights alone, without the library.

The layout is that of `ModelSpec.save` in CTranslate2's `python/ctranslate2/specs/model_spec.py` (OpenNMT, MIT), binary
version 6, little endian: version, name and revision of the specification, then the number of variables and each as
name, rank, dimensions, type and bytes. Strings are counted in 16 bits and end with a zero.
"""

import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 6
_TYPES: Final = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_weights(path: Path, prefix: str) -> dict[str, NDArray[np.float32]]:
    """The floating-point variables whose names begin with `prefix`, without it, as FP32.

    Raises ValueError for another version and for a quantised or unknown type below `prefix`.
    """
    data = path.read_bytes()
    (version,) = struct.unpack_from("<I", data)
    if version != VERSION:
        raise ValueError(f"{path}: CTranslate2 binary version {version}, want {VERSION}")
    _, place = _string(data, 4)
    _, count = struct.unpack_from("<II", data, place)
    place += 8
    weights = {}
    for _ in range(count):
        name, place = _string(data, place)
        rank = data[place]
        *shape, kind, size = struct.unpack_from(f"<{rank}IBI", data, place + 1)
        place += 1 + 4 * rank + 5
        if name.startswith(prefix) and rank > 0:
            weights[name.removeprefix(prefix)] = _array(name, data[place : place + size], kind, shape)
        place += size
    return weights


def _string(data: bytes, place: int) -> tuple[str, int]:
    """The string at `place` and the place after it."""
    (length,) = struct.unpack_from("<H", data, place)
    end = place + 2 + length
    return data[place + 2 : end - 1].decode(), end


def _array(name: str, data: bytes, kind: int, shape: list[int]) -> NDArray[np.float32]:
    if _TYPES.get(kind) not in {"<f4", "<f2"}:
        raise ValueError(f"{name}: type {_TYPES.get(kind, kind)}, want FP32 or FP16")
    return np.frombuffer(data, _TYPES[kind]).reshape(shape).astype(np.float32)
