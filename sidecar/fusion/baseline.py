"""What is usual for one person, so that a brow always lowered is not taken for a frown."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.types import Options


class BaselineOptions(Options, frozen=True):
    """How fast and how far one person's usual value is believed."""

    population: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """The usual value of a person of whom nothing is known."""
    prior_s: Annotated[float, Meta(gt=0)] = 120.0
    """Seconds of observation that weigh as much as the population."""
    memory_s: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds beyond which more observation adds no more weight."""
    rate_per_s: Annotated[float, Meta(gt=0, le=1)] = 0.004
    """Step of the running median, in units of the cue a second."""


class Baseline:
    """A running median of one cue of one person, shrunk to the population.

    The median moves by a fixed step towards each value (stochastic approximation, Robbins and Monro, 1951), so twenty
    seconds of distress move it by no more than 0.08. Shrinkage is that of a normal mean with known variance,
    (n x own + k x population) / (n + k): the more is known of a person, the more their own value counts.
    """

    def __init__(self, options: BaselineOptions) -> None:
        self._options = options
        self._median = options.population
        self._observed_s = 0.0
        self._last_s: float | None = None

    def adjust(self, value: float, media_time_s: float) -> float:
        """`value` (0-1) as it would be on a person of usual features; learns from it."""
        options = self._options
        step_s = 0.0 if self._last_s is None else float(np.clip(media_time_s - self._last_s, 0, 2))
        self._last_s = media_time_s
        reach = options.rate_per_s * step_s
        self._median += float(np.clip(value - self._median, -reach, reach))
        self._observed_s = min(self._observed_s + step_s, options.memory_s)
        own = self._observed_s / (self._observed_s + options.prior_s)
        return float(np.clip(value - own * (self._median - options.population), 0, 1))
