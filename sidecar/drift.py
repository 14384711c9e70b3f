"""Whether what the models say has drifted: counts by week against a reference, kept in the state folder.

Counts leave the process only in sums over several identities and many outputs (`DriftOptions`), so that no number is
about one person; an identity counts once, however often it attaches. A worker counts for itself; its numbers name
neither rooms nor people, nor times within a week.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Final

import msgspec
import numpy as np

from sidecar.clock import Clock
from sidecar.drift_files import DriftFiles, Reference
from sidecar.errors import ConfigurationError
from sidecar.telemetry import ESTIMATES, Telemetry
from sidecar.types import EMOTIONS, Options

log = logging.getLogger(__name__)

_EVERY_S: Final = 60.0
_HALF: Final = 0.5
"""Added to every count, so that an emotion never seen does not make the divergence infinite (Jeffreys' prior)."""
_WEIGHT: Final = 1000
"""How many outputs a reference, given in shares, counts for."""


class DriftOptions(Options, frozen=True):
    """When counts may be kept, and when they mean drift."""

    least_people: Annotated[int, msgspec.Meta(ge=1)] = 5
    least_outputs: Annotated[int, msgspec.Meta(ge=1)] = 300
    """Counts wait in memory until they are of so many people and outputs, and till then are lost with the process."""
    divergence_nats: Annotated[float, msgspec.Meta(gt=0)] = 0.25
    low_confidence_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.6


class DriftMonitor:
    """Moves a worker's counts into its weeks, and sets the gauges of the week."""

    def __init__(self, files: DriftFiles, options: DriftOptions, clock: Clock, telemetry: Telemetry) -> None:
        """Raises `ConfigurationError` where the file of an earlier run is damaged."""
        self._files = files
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._weeks = files.weeks()
        self._saving = Lock()

    async def run(self) -> None:
        """Once a minute, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_S)
            await self.release()

    async def release(self) -> None:
        """Keep what was counted since the last time, where it is of enough people; else it goes on waiting.

        A disk that is full stops no call: the sums stay in memory and are written with the next ones.
        """
        released = [name for name, outputs in self._telemetry.outputs.items() if self._enough(*outputs.size())]
        if not released:
            return
        week = self._weeks.setdefault(week_name(self._clock.wall()), {})
        for name in released:
            for (model, answer), count in self._telemetry.outputs.pop(name).counts.items():
                counts = week.setdefault(name, {}).setdefault(model, {})
                counts[answer] = counts.get(answer, 0) + count
        try:
            verdicts = await asyncio.to_thread(self._save_and_judge)
        except ConfigurationError as error:
            log.warning("counts of outputs are not kept: %s", error)
            return
        for verdict in verdicts:
            if verdict.divergence_nats is not None:
                self._telemetry.output_drift.labels(verdict.subject).set(verdict.divergence_nats)

    def _save_and_judge(self) -> "list[Verdict]":
        """In a thread: a slow disk must not hold up the event loop."""
        with self._saving:  # the call of a cancelled task may still be under way
            self._files.save(self._weeks)
        return judge(self._files, self._options)

    def _enough(self, people: int, outputs: int) -> bool:
        return people >= self._options.least_people and outputs >= self._options.least_outputs


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one modality, or of the estimates, in the newest week."""

    subject: str
    says: str
    drifted: bool
    divergence_nats: float | None = None


def judge(files: DriftFiles, options: DriftOptions) -> list[Verdict]:
    """The newest week that is kept; empty before there is one. Raises `ConfigurationError`."""
    weeks = files.weeks()
    if not weeks:
        return []
    name, week = list(weeks.items())[-1]
    verdicts = []
    for subject, models in week.items():
        for model, counts in models.items():
            said = f"{name} {subject}: {sum(counts.values())} outputs of {model}"
            if subject == ESTIMATES:
                verdicts.append(_confidence(said, counts, options.low_confidence_share))
            else:
                reference = files.reference(subject, model)
                verdicts.append(_divergence(subject, said, counts, reference, options.divergence_nats))
    return verdicts


def divergence_nats(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Kullback and Leibler's divergence of the counts from the reference (Ann. Math. Statist. 22, 1951)."""
    now = np.array([counts.get(emotion, 0) for emotion in EMOTIONS]) + _HALF
    then = np.array([shares.get(emotion, 0.0) for emotion in EMOTIONS]) * _WEIGHT + _HALF
    p, q = now / now.sum(), then / then.sum()
    return float((p * np.log(p / q)).sum())


def week_name(wall_time_s: float) -> str:
    """The ISO week in UTC, such as `2026-W47`."""
    year, week, _ = datetime.fromtimestamp(wall_time_s, UTC).isocalendar()
    return f"{year}-W{week:02}"


def _confidence(said: str, counts: Mapping[str, int], limit: float) -> Verdict:
    share = counts.get("abstained", 0) / max(sum(counts.values()), 1)
    return Verdict(ESTIMATES, f"{said}, {share:.0%} abstained, limit {limit:.0%}", share > limit)


def _divergence(
    subject: str, said: str, counts: Mapping[str, int], reference: Reference | None, limit: float
) -> Verdict:
    if reference is None:
        return Verdict(
            subject, f"{said}, nothing to compare with: --accept makes this week the reference", drifted=False
        )
    far = divergence_nats(counts, reference.shares)
    return Verdict(subject, f"{said}, {far:.3f} nats from {reference.origin}, limit {limit}", far > limit, far)
