"""Writes into the audit what was inferred under each permit."""

from sidecar.consent.audit import AuditChain
from sidecar.pipeline import Tally
from sidecar.publish.publisher import RoomPublisher
from sidecar.types import Permit


class InferenceProof:
    """Proof of one person's inference: which models read how much of which span, and which events that reached."""

    def __init__(self, identity: str, audit: AuditChain, publisher: RoomPublisher) -> None:
        self._identity = identity
        self._audit = audit
        self._publisher = publisher
        self._proven_to: dict[str, int] = {}

    def begin(self, permit: Permit) -> None:
        """Events after this one may rest on the permit."""
        self._proven_to[permit.id] = self._publisher.sequence

    def record(self, permit: Permit, tally: Tally | None) -> None:
        """Record what was inferred under a permit since the last time, if anything."""
        if tally is None:
            return
        self._audit.record(
            "inferred",
            identity=self._identity,
            modality=permit.modality,
            permit=permit.id,
            models=dict(tally.models),
            count=tally.count,
            media_from_s=round(tally.media_from_s, 3),
            media_to_s=round(tally.media_to_s, 3),
            sequence_from=self._proven_to[permit.id] + 1,
            sequence_to=self._publisher.sequence,
        )
        self._proven_to[permit.id] = self._publisher.sequence

    def end(self, permit: Permit, tally: Tally | None) -> None:
        """Record what is left and forget the permit."""
        self.record(permit, tally)
        self._proven_to.pop(permit.id, None)
