"""Valence, arousal and dominance of a distribution over the base emotions."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec
import numpy as np

from sidecar.types import EMOTIONS, FloatArray


@dataclass(frozen=True, slots=True)
class Affect:
    """A point in the space of Russell and Mehrabian (1977)."""

    valence: float  # -1..1, unpleasant to pleasant
    arousal: float  # -1..1, calm to excited
    dominance: float  # -1..1, controlled to in control


class _Coordinates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    valence: float
    arousal: float
    dominance: float


@cache
def coordinates() -> FloatArray:
    """(8, 3) float32: valence, arousal and dominance of EMOTIONS, from `affect.toml`, which names the sources."""
    packed = resources.files(__package__).joinpath("affect.toml").read_bytes()
    table = msgspec.toml.decode(packed, type=dict[str, _Coordinates])
    rows = [msgspec.structs.astuple(table[name]) for name in EMOTIONS]
    array = np.asarray(rows, dtype=np.float32)
    array.flags.writeable = False
    return array


def expected_affect(probabilities: FloatArray) -> Affect:
    """The expectation of the coordinates over (8,) probabilities; for models without heads of their own."""
    valence, arousal, dominance = (float(value) for value in probabilities @ coordinates())
    return Affect(valence, arousal, dominance)
