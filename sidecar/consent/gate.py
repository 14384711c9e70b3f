"""The consent gate: turns what participants declare into permits, and is the only maker of permits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sidecar.consent.audit import AuditChain
from sidecar.errors import AuditUnavailable
from sidecar.telemetry import Telemetry
from sidecar.types import Missing, Modality, Participant, ParticipantKind, Permit

CONSENT_ATTRIBUTE: Final = "engagement.consent"
CONSENT_MALFORMED: Final = "consent_malformed"
AUDIT_UNAVAILABLE: Final = "audit_unavailable"
"""The audit cannot be written, so that a declared consent is not granted yet; declare it again later."""

_ANALYSED_KINDS: Final = frozenset({ParticipantKind.STANDARD, ParticipantKind.SIP, ParticipantKind.INGRESS})


@dataclass(frozen=True, slots=True)
class ConsentChange:
    """What one declaration changed."""

    identity: str
    consent: tuple[Modality, ...]
    """What is in force now."""
    granted: tuple[Permit, ...]
    revoked: tuple[Permit, ...]
    reason: str | None
    """Why a declared consent does not count, or None."""


def parse_consent(value: str | None) -> tuple[frozenset[Modality], bool]:
    """The modalities of an attribute value, and whether it was well formed.

    Words are split on commas, trimmed, exact lower case. One unknown word makes the whole value count as empty.
    """
    words = [word.strip() for word in (value or "").split(",")]
    if words == [""]:
        return frozenset(), True
    known = {modality.value for modality in Modality}
    if not known.issuperset(words):
        return frozenset(), False
    return frozenset(Modality(word) for word in words), True


class ConsentGate:
    """The permits of one room.

    A permit is revoked before anything else happens, the proof included: a full disk keeps the gate from granting
    (reason `AUDIT_UNAVAILABLE`), never from revoking.
    """

    def __init__(self, audit: AuditChain, telemetry: Telemetry) -> None:
        self._audit = audit
        self._telemetry = telemetry
        self._permits: dict[str, dict[Modality, Permit]] = {}

    def permit(self, identity: str, modality: Modality) -> Permit | None:
        """The live permit for one person's modality, if there is one."""
        return self._permits.get(identity, {}).get(modality)

    def declare(self, participant: Participant) -> ConsentChange:
        """Bring the permits of `participant` in line with the attribute they carry now."""
        value = participant.attributes.get(CONSENT_ATTRIBUTE)
        wanted, well_formed = parse_consent(value)
        reason = None if well_formed else CONSENT_MALFORMED
        if participant.kind not in _ANALYSED_KINDS and wanted:
            wanted, reason = frozenset(), Missing.UNSUPPORTED_SOURCE.value
        return self._settle(participant.identity, wanted, reason)

    def withdraw(self, identity: str) -> ConsentChange:
        """Revoke all of one person's permits, as when they leave. Never raises."""
        return self._settle(identity, frozenset(), None)

    def withdraw_all(self) -> dict[str, tuple[Permit, ...]]:
        """Revoke every permit of the room, by identity. Never raises."""
        return {identity: self.withdraw(identity).revoked for identity in list(self._permits)}

    def _settle(self, identity: str, wanted: frozenset[Modality], reason: str | None) -> ConsentChange:
        held = self._permits.setdefault(identity, {})
        revoked = tuple(held.pop(modality) for modality in sorted(held.keys() - wanted))
        for permit in revoked:
            permit.revoke()
        self._count(revoked, "revoked", -1)
        for permit in revoked:
            self._audit.record("revoked", identity=identity, modality=permit.modality, permit=permit.id)
        granted = []
        for modality in sorted(wanted - held.keys()):
            permit = Permit(identity, modality)
            try:
                self._audit.require("granted", identity=identity, modality=modality, permit=permit.id)
            except AuditUnavailable:
                reason = AUDIT_UNAVAILABLE
                break
            held[modality] = permit
            granted.append(permit)
        self._count(granted, "granted", 1)
        if not held:
            del self._permits[identity]
        in_force = tuple(modality for modality in Modality if modality in held)
        return ConsentChange(identity, in_force, tuple(granted), revoked, reason)

    def _count(self, permits: Iterable[Permit], change: str, step: int) -> None:
        for permit in permits:
            self._telemetry.consent_changes.labels(permit.modality, change).inc()
            self._telemetry.participants.labels(permit.modality).inc(step)
