"""Estimates smoothed over media time."""

import math
from dataclasses import replace
from typing import Annotated

from msgspec import Meta

from sidecar.types import FusedEstimate, Options

TimeConstant = Annotated[float, Meta(ge=0.1, le=5)]


class SmoothingOptions(Options, frozen=True):
    """How slowly estimates follow the evidence."""

    emotions_tau_s: TimeConstant = 2.0
    """For emotions, valence, arousal and dominance."""
    scores_tau_s: TimeConstant = 2.5
    """For engagement, confusion and frustration."""
    gap_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """After this long without an estimate, what came before is forgotten."""


class Smoother:
    """Exponential moving average over irregular steps of one participant.

    x += (1 - exp(-step / tau)) (new - x): the operator EMA of Zumbach and Mueller, "Operators on inhomogeneous time
    series" (International Journal of Theoretical and Applied Finance 4, 2001), with the newer value held over the
    step. Estimates that abstain pass as they are and teach nothing. Confidence and evidence are those of the moment;
    permits are those of all that the average remembers, so one that was revoked stops it until `clear`.
    """

    def __init__(self, options: SmoothingOptions) -> None:
        self._options = options
        self._last: FusedEstimate | None = None

    def smooth(self, estimate: FusedEstimate) -> FusedEstimate:
        """The estimate with its values averaged with those before it."""
        if estimate.abstain_reason is not None:
            return estimate
        self._last = self._follow(estimate)
        return self._last

    def clear(self) -> None:
        """Forget what came before."""
        self._last = None

    def _follow(self, estimate: FusedEstimate) -> FusedEstimate:
        last = self._last
        if last is None:
            return estimate
        step_s = estimate.media_time_s - last.media_time_s
        if not 0 <= step_s <= self._options.gap_s:
            return estimate
        affect = -math.expm1(-step_s / self._options.emotions_tau_s)
        scores = -math.expm1(-step_s / self._options.scores_tau_s)
        return replace(
            estimate,
            emotions=last.emotions + affect * (estimate.emotions - last.emotions),
            valence=last.valence + affect * (estimate.valence - last.valence),
            arousal=last.arousal + affect * (estimate.arousal - last.arousal),
            dominance=last.dominance + affect * (estimate.dominance - last.dominance),
            engagement=last.engagement + scores * (estimate.engagement - last.engagement),
            confusion=last.confusion + scores * (estimate.confusion - last.confusion),
            frustration=last.frustration + scores * (estimate.frustration - last.frustration),
            permits=tuple(dict.fromkeys((*last.permits, *estimate.permits))),
        )
