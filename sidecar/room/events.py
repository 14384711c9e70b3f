"""Publishes the events about one person of a room."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from sidecar.clock import Clock
from sidecar.consent.gate import AUDIT_UNAVAILABLE, ConsentChange
from sidecar.errors import PermitRevoked
from sidecar.pipeline import Reading
from sidecar.publish.events import episode_data, estimate_data
from sidecar.publish.publisher import RoomPublisher
from sidecar.schema import ParticipantChange
from sidecar.telemetry import Telemetry
from sidecar.types import EMOTIONS, EpisodeChange, Missing, Modality

_SILENT: Final = frozenset({Missing.NO_SPEECH, Missing.STALE, Missing.OVERLOAD})
"""Reasons that appear in single estimates only: a modality stays on through them."""
_BEFORE_CONSENT: Final = frozenset({Missing.UNSUPPORTED_SOURCE, AUDIT_UNAVAILABLE})
"""Reasons why a declared consent does not count that are published although no consent was in force yet."""


class PersonEvents:
    """Publishes one person's consent, modalities, estimates and episodes; silent before their first consent."""

    def __init__(self, identity: str, publisher: RoomPublisher, clock: Clock, telemetry: Telemetry) -> None:
        self._identity = identity
        self._publisher = publisher
        self._clock = clock
        self._telemetry = telemetry
        self._consent: tuple[Modality, ...] = ()
        self._reason: str | None = None
        self._states: dict[Modality, Missing | None] = {}
        self._token = telemetry.person_token(identity)
        self.attached = False
        """Whether the person ever consented to anything here."""

    def consent(self, change: ConsentChange) -> None:
        """Publish what is in force, where that or its reason changed."""
        said_before = change.consent == self._consent and change.reason == self._reason
        spoken_of = self.attached or change.consent or change.reason in _BEFORE_CONSENT
        if said_before or not spoken_of:
            return
        attaches = bool(change.consent) and not self.attached
        self.attached = self.attached or attaches
        self._consent, self._reason = change.consent, change.reason
        self._say("attached" if attaches else "consent", reason=change.reason)

    def states(self, missing: Mapping[Modality, Missing | None]) -> None:
        """Publish the modalities whose state changed: off for a reason, or on."""
        if not self.attached:
            return
        for modality, reason in missing.items():
            state = None if reason in _SILENT else reason
            never_wanted = modality not in self._states and state is Missing.NO_CONSENT
            if never_wanted or (modality in self._states and self._states[modality] == state):
                continue
            self._states[modality] = state
            self._say("modality", modality=modality, state="on" if state is None else "off", reason=state)

    def reading(self, reading: Reading, missing: Mapping[Modality, Missing]) -> None:
        """Publish one second's estimate and episodes; what rests on a permit revoked meanwhile is dropped."""
        estimate = reading.estimate
        if estimate is not None:
            latency_s = self._clock.monotonic() - estimate.newest_arrived_s
            data = estimate_data(
                self._publisher.room,
                self._identity,
                estimate,
                label=reading.label,
                words=reading.words,
                missing=missing,
                latency_s=latency_s,
            )
            try:
                self._publisher.publish(data, estimate.permits)
            except PermitRevoked:
                self._telemetry.dropped.labels("publish", "revoked").inc()
            else:
                self._telemetry.latency.observe(latency_s)
                said = {
                    modality.value: (evidence.model, EMOTIONS[int(evidence.emotions.argmax())])
                    for modality, evidence in estimate.evidence.items()
                }
                self._telemetry.count_estimate(self._token, said, abstained=data.abstained)
        self.episodes(reading.episodes)

    def episodes(self, changes: Sequence[EpisodeChange]) -> None:
        for change in changes:
            try:
                self._publisher.publish(episode_data(self._publisher.room, self._identity, change), change.permits)
            except PermitRevoked:
                self._telemetry.dropped.labels("publish", "revoked").inc()

    def left(self) -> None:
        """Publish that the person is gone."""
        if self.attached:
            self._consent = ()
            self._say("left")

    def _say(
        self,
        change: Literal["attached", "consent", "modality", "left"],
        *,
        modality: Modality | None = None,
        state: Literal["on", "off"] | None = None,
        reason: str | None = None,
    ) -> None:
        self._publisher.publish(
            ParticipantChange(
                room=self._publisher.room,
                identity=self._identity,
                change=change,
                consent=list(self._consent),
                modality=modality,
                state=state,
                reason=reason,
            )
        )
