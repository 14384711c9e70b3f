"""Prometheus metrics: base units, `_total` counters, no label that names a person or a room."""

import secrets
from collections import Counter as Tally
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LATENCY_S = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0, 8.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64)

ESTIMATES: Final = "estimates"
"""Beside the modalities, under whose names outputs are counted: the fused estimates, given or abstained."""


@dataclass(slots=True)
class Outputs:
    """What was said since the last release, and by how many people's media; see `drift.py`."""

    people: set[bytes] = field(default_factory=set)
    """`Telemetry.person_token` of each."""
    counts: Tally[tuple[str, str]] = field(default_factory=Tally)
    """By model and answer."""

    def size(self) -> tuple[int, int]:
        """How many people, how many outputs."""
        return len(self.people), self.counts.total()


class Telemetry:
    """All metrics of one worker, on a registry of its own; stages get it injected."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._person_key = secrets.token_bytes(32)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sidecar_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"sidecar_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"sidecar_{name}", text, labels, buckets=buckets, registry=registry)

        self.rooms = gauge("rooms", "Rooms observed now")
        self.participants = gauge("participants", "People with a live permit", "modality")
        self.consent_changes = counter("consent_changes_total", "Grants and revocations", "modality", "change")
        self.received = counter("received_total", "Media received, by unit (frames, samples, segments)", "unit")
        self.dropped = counter("dropped_total", "Work dropped, by stage and reason", "stage", "reason")
        self.detector_runs = counter("detector_runs_total", "Face detector runs")
        self.tracked_frames = counter("tracked_frames_total", "Frames on which the face was tracked, not detected")
        self.batch_size = histogram("batch_size", "Units per inference call", _BATCH, "model")
        self.queue_delay = histogram("queue_delay_seconds", "Wait from submission to inference", _FAST_S, "model")
        self.inference = histogram("inference_seconds", "Duration of one inference call", _FAST_S, "model")
        self.latency = histogram(
            "latency_seconds", "From arrival of the newest media used to serialisation", _LATENCY_S
        )
        self.estimates = counter("estimates_total", "Estimates published, by abstention", "abstained")
        self.low_confidence_share = gauge("low_confidence_share", "Share of the newest 1000 estimates that abstained")
        self._abstained: deque[bool] = deque(maxlen=1000)
        self.output_drift = gauge(
            "output_drift_nats", "Divergence of this week's outputs from their reference", "modality"
        )
        self.outputs: dict[str, Outputs] = {}
        self.published = counter("events_published_total", "Events delivered to a sink", "type")
        self.spooled = counter("events_spooled_total", "Events written to the spool while Redis was away")
        self.lost = counter("events_lost_total", "Events that could be neither delivered nor kept")
        self.spool_bytes = gauge("spool_bytes", "Bytes waiting in the spool")
        self.audit_failing = gauge("audit_failing", "Audit chains that the disk refuses at present")
        self.task_failures = counter("task_failures_total", "Background tasks that failed and were restarted", "task")
        self.assignments = counter("assignments_total", "Agent protocol assignments, by outcome", "outcome")
        self.load = gauge("load_ratio", "Load reported to LiveKit, 0-1")

    def person_token(self, identity: str) -> bytes:
        """A keyed hash, the same for each attachment of an identity to any room: one person never counts as several.

        The key never leaves the process, so the token names no one outside it.
        """
        return blake2b(identity.encode("utf-8", "surrogatepass"), key=self._person_key, digest_size=16).digest()

    def count_estimate(self, person: bytes, said: Mapping[str, tuple[str, str]], *, abstained: bool) -> None:
        """Count one published estimate; `said` has model and emotion by modality, `person` is their `person_token`."""
        self.estimates.labels(str(abstained).lower()).inc()
        self._abstained.append(abstained)
        self.low_confidence_share.set(sum(self._abstained) / len(self._abstained))
        fused = ("fused", "abstained" if abstained else "given")
        for name, answer in {**said, ESTIMATES: fused}.items():
            outputs = self.outputs.setdefault(name, Outputs())
            outputs.people.add(person)
            outputs.counts[answer] += 1

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
