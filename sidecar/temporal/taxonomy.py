"""The second and third tier of words for an estimate; the words and thresholds stand in `taxonomy.toml`."""

from functools import cache
from importlib import resources

import msgspec
import numpy as np

from sidecar.types import EMOTIONS, FusedEstimate


class _Degrees(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: tuple[str, str, str]
    arousal_weight: float
    degrees: tuple[float, float]

    def word(self, probability: float, arousal: float) -> str:
        intensity = (1 - self.arousal_weight) * probability + self.arousal_weight * (arousal + 1) / 2
        return self.words[sum(intensity >= degree for degree in self.degrees)]


class _Granular(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    minimum_probability: float
    emotion: dict[str, _Degrees]


class _Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    of: frozenset[str]
    word: str


class _Blends(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    minimum_probability: float
    minimum_ratio: float
    pair: tuple[_Pair, ...]


class _Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    granular: _Granular
    blend: _Blends


@cache
def _taxonomy() -> _Taxonomy:
    packed = resources.files(__package__).joinpath("taxonomy.toml").read_bytes()
    return msgspec.toml.decode(packed, type=_Taxonomy)


def granular(estimate: FusedEstimate) -> str | None:
    """The degree of the strongest emotion, or None when abstaining or when none is strong enough."""
    tier = _taxonomy().granular
    strongest = int(np.argmax(estimate.emotions))
    probability = float(estimate.emotions[strongest])
    if estimate.abstain_reason is not None or probability < tier.minimum_probability:
        return None
    return tier.emotion[EMOTIONS[strongest]].word(probability, estimate.arousal)


def blend(estimate: FusedEstimate) -> str | None:
    """The word for the two strongest emotions beside neutral, or None when abstaining or where no rule matches."""
    tier = _taxonomy().blend
    moved = {name: float(value) for name, value in zip(EMOTIONS, estimate.emotions, strict=True) if name != "neutral"}
    first, second = sorted(moved, key=moved.__getitem__, reverse=True)[:2]
    strong = moved[second] >= max(tier.minimum_probability, tier.minimum_ratio * moved[first])
    if estimate.abstain_reason is not None or not strong:
        return None
    return next((pair.word for pair in tier.pair if pair.of == {first, second}), None)
