"""Spans of time in which a condition held: when they start, go on and end."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta
from msgspec import field as option

from sidecar.types import (
    EndReason,
    EpisodeChange,
    EpisodeKind,
    EpisodePhase,
    FusedEstimate,
    Modality,
    Options,
    Permit,
)

Level = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=600)]


class Thresholds(Options, frozen=True):
    """The two levels of a Schmitt trigger: noise between them changes nothing."""

    start: Level
    stop: Level

    def __post_init__(self) -> None:
        if self.stop >= self.start:
            raise ValueError(f"stop ({self.stop}) must lie below start ({self.start})")


class EpisodeOptions(Options, frozen=True):
    """When a condition becomes an episode, and when it is over."""

    engagement_low: Thresholds = option(default_factory=lambda: Thresholds(start=0.6, stop=0.45))
    """On 1 - engagement."""
    frustration_spike: Thresholds = option(default_factory=lambda: Thresholds(start=0.45, stop=0.35))
    confusion: Thresholds = option(default_factory=lambda: Thresholds(start=0.5, stop=0.35))
    minimum_s: Seconds = 3.0
    """The condition must hold this long before an episode starts."""
    recovery_s: Seconds = 3.0
    """The condition must be gone this long before it ends."""
    cooldown_s: Seconds = 10.0
    """No new episode for so long after one ended."""
    evidence_lost_s: Seconds = 6.0
    """An episode ends after this long without an estimate that does not abstain."""
    update_every_s: Annotated[float, Meta(ge=1, le=600)] = 1.0

    def thresholds(self, kind: EpisodeKind) -> Thresholds:
        return {
            EpisodeKind.ENGAGEMENT_LOW: self.engagement_low,
            EpisodeKind.FRUSTRATION_SPIKE: self.frustration_spike,
            EpisodeKind.CONFUSION: self.confusion,
        }[kind]


@dataclass(slots=True)
class _Span:
    """A condition since it was first met; an episode from its start on."""

    kind: EpisodeKind
    since_s: float
    episode: str | None = None
    below_since_s: float | None = None
    reported_s: float = 0.0
    estimates: int = 0
    shares: dict[Modality, float] = field(default_factory=dict)
    permits: dict[Permit, None] = field(default_factory=dict)
    probability: float = 0.0
    confidence: float = 0.0

    def see(self, estimate: FusedEstimate, level: float) -> None:
        """Take in what the estimate rests on."""
        self.estimates += 1
        for modality, evidence in estimate.evidence.items():
            self.shares[modality] = self.shares.get(modality, 0.0) + evidence.share
        self.permits.update(dict.fromkeys(estimate.permits))
        self.probability, self.confidence = level, estimate.confidence

    def rests_on(self, modality: Modality) -> bool:
        """True where any second of it used the modality."""
        return modality in self.shares or any(permit.modality is modality for permit in self.permits)


class Episodes:
    """Finds the episodes of one participant in smoothed estimates.

    One condition at a time: while an episode lasts no other starts, since the same face that is frustrated also
    looks confused and away; what still holds afterwards starts then. An episode rests on every modality that any of
    its seconds used, and carries all their permits.
    """

    def __init__(self, options: EpisodeOptions, new_id: Callable[[], str] = lambda: secrets.token_hex(8)) -> None:
        self._options = options
        self._new_id = new_id
        self._spans: dict[EpisodeKind, _Span] = {}
        self._ended_s: float | None = None
        self._seen_s: float | None = None

    def advance(self, media_time_s: float, estimate: FusedEstimate | None) -> list[EpisodeChange]:
        """What changed at `media_time_s`. `estimate`: smoothed; None where there was no evidence."""
        if estimate is None or estimate.abstain_reason is not None:
            return self._without_evidence(media_time_s)
        self._seen_s = media_time_s
        changes: list[EpisodeChange] = []
        for kind, level in sorted(_levels(estimate).items(), key=lambda each: -each[1]):
            change = self._step(kind, level, media_time_s, estimate)
            if change is not None:
                changes.append(change)
        return changes

    def end_all(self, reason: EndReason, media_time_s: float) -> list[EpisodeChange]:
        """End what lasts and forget what was about to start."""
        return self._end([*self._spans.values()], reason, media_time_s)

    def end_resting_on(self, modality: Modality, reason: EndReason, media_time_s: float) -> list[EpisodeChange]:
        """End, and forget, what used a modality; its seconds cannot be told apart from the others."""
        return self._end([span for span in self._spans.values() if span.rests_on(modality)], reason, media_time_s)

    def _without_evidence(self, media_time_s: float) -> list[EpisodeChange]:
        if self._seen_s is None or media_time_s - self._seen_s < self._options.evidence_lost_s:
            return []
        return self.end_all(EndReason.EVIDENCE_LOST, media_time_s)

    def _step(
        self, kind: EpisodeKind, level: float, media_time_s: float, estimate: FusedEstimate
    ) -> EpisodeChange | None:
        thresholds = self._options.thresholds(kind)
        span = self._spans.get(kind)
        if span is None:
            if level < thresholds.start or not self._free(media_time_s):
                return None
            span = self._spans[kind] = _Span(kind, since_s=media_time_s)
        if span.episode is None:
            return self._before_start(span, level, media_time_s, estimate)
        span.see(estimate, level)
        if level >= thresholds.stop:
            span.below_since_s = None
        elif span.below_since_s is None:
            span.below_since_s = media_time_s
        elif media_time_s - span.below_since_s >= self._options.recovery_s:
            return self._end([span], EndReason.RECOVERED, media_time_s)[0]
        if media_time_s - span.reported_s < self._options.update_every_s:
            return None
        return self._change(span, EpisodePhase.UPDATE, None, media_time_s)

    def _before_start(
        self, span: _Span, level: float, media_time_s: float, estimate: FusedEstimate
    ) -> EpisodeChange | None:
        thresholds = self._options.thresholds(span.kind)
        if level < thresholds.stop:
            del self._spans[span.kind]
            return None
        span.see(estimate, level)
        held = level >= thresholds.start and media_time_s - span.since_s >= self._options.minimum_s
        if not held:
            return None
        span.episode = self._new_id()
        self._spans = {span.kind: span}
        return self._change(span, EpisodePhase.START, None, media_time_s)

    def _free(self, media_time_s: float) -> bool:
        """True where no episode lasts or ended just now."""
        lasting = any(span.episode is not None for span in self._spans.values())
        return not lasting and (self._ended_s is None or media_time_s - self._ended_s >= self._options.cooldown_s)

    def _end(self, spans: list[_Span], reason: EndReason, media_time_s: float) -> list[EpisodeChange]:
        changes = []
        for span in spans:
            del self._spans[span.kind]
            if span.episode is not None:
                self._ended_s = media_time_s
                changes.append(self._change(span, EpisodePhase.END, reason, media_time_s))
        return changes

    def _change(self, span: _Span, phase: EpisodePhase, reason: EndReason | None, media_time_s: float) -> EpisodeChange:
        """An end carries only the permits that still live: it must be told although consent ended."""
        assert span.episode is not None
        span.reported_s = media_time_s
        return EpisodeChange(
            episode=span.episode,
            kind=span.kind,
            phase=phase,
            probability=span.probability,
            confidence=span.confidence,
            started_media_time_s=span.since_s,
            duration_s=max(0.0, media_time_s - span.since_s),
            evidence={modality: total / span.estimates for modality, total in span.shares.items()},
            end_reason=reason,
            media_time_s=media_time_s,
            permits=tuple(permit for permit in span.permits if permit.live or phase is not EpisodePhase.END),
        )


def _levels(estimate: FusedEstimate) -> dict[EpisodeKind, float]:
    return {
        EpisodeKind.ENGAGEMENT_LOW: 1 - estimate.engagement,
        EpisodeKind.FRUSTRATION_SPIKE: estimate.frustration,
        EpisodeKind.CONFUSION: estimate.confusion,
    }
