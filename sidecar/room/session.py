"""The observation of one room: from the call's events to each person."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Literal

from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import AUDIT_UNAVAILABLE, ConsentGate
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.publisher import RoomPublisher
from sidecar.room.person import Person, RoomScope
from sidecar.room.taps import CallSource, Taps
from sidecar.schema import RoomChange
from sidecar.supervisor import Supervisor, contained
from sidecar.telemetry import Telemetry
from sidecar.types import (
    CallEnded,
    CallEvent,
    EndReason,
    Modality,
    Participant,
    ParticipantChanged,
    ParticipantKind,
    ParticipantLeft,
    Track,
    TrackChanged,
    TrackEnded,
    TranscriptOffered,
)

DRAINED: Final = "drained"
FAILED: Final = "failed"

_RETRY_S: Final = 1.0
_CLOSED_WITHIN_S: Final = 5.0
"""Longest wait for taps to close: permits have been revoked by then, so whatever hangs can do no harm."""


class RoomSession:
    """Observes one call from its first event to its end.

    An error in the handling of one person's event is counted and ends nothing. Participants who consent to nothing cost
    their tracks and no more.
    """

    def __init__(
        self,
        call: CallSource,
        *,
        make_pipeline: Callable[[], ParticipantPipeline],
        publisher: RoomPublisher,
        audit: AuditChain,
        clock: Clock,
        epoch_started_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._call = call
        self._publisher = publisher
        self._audit = audit
        self._clock = clock
        self._telemetry = telemetry
        self._supervisor = Supervisor(clock, telemetry)
        self._gate = ConsentGate(audit, telemetry)
        self._scope = RoomScope(
            publisher=publisher,
            audit=audit,
            supervisor=self._supervisor,
            clock=clock,
            telemetry=telemetry,
            media_time_s=lambda: clock.monotonic() - epoch_started_s,
            make_pipeline=make_pipeline,
        )
        self._persons: dict[str, Person] = {}
        self._tracks: dict[str, dict[str, Track]] = {}
        self._waiting: dict[str, Participant] = {}
        """Those whose consent is not granted until the audit can be written again."""

    @property
    def failing(self) -> Mapping[str, str]:
        """Error type by name of each of the room's tasks that failed within the last minute."""
        return self._supervisor.failing

    async def run(self) -> str:
        """Observe until the call ends; returns why it did. Cancel it to detach; the message is the reason, if any."""
        self._audit.record("attached")
        self._publish_room("attached")
        reason = FAILED
        try:
            self._supervisor.start("audit", self._retry_audit)
            reason = await self._follow()
        except asyncio.CancelledError as cancelled:
            reason = str(cancelled.args[0]) if cancelled.args else DRAINED
            raise
        finally:
            self._end_all()
            try:
                await self._supervisor.aclose(_CLOSED_WITHIN_S)
                await self._catch_up()
            finally:
                self._audit.record("detached")
                self._audit.seal()
                self._publish_room("detached", reason)
        return reason

    async def _follow(self) -> str:
        """Take the call's events until it ends; returns why it did."""
        async for event in self._call.events():
            if isinstance(event, CallEnded):
                return event.reason
            with contained("room_event", self._telemetry):
                self._take(event)
        return "call_ended"

    def _publish_room(self, change: Literal["attached", "detached"], reason: str | None = None) -> None:
        self._publisher.publish(
            RoomChange(room=self._publisher.room, change=change, reason=reason, audit_head=self._audit.head)
        )

    def _end_all(self) -> None:
        """Revoke everybody's permits before anything else, then forget the people one by one."""
        persons, self._persons = self._persons, {}
        revoked = self._gate.withdraw_all()
        self._waiting.clear()
        for identity, person in persons.items():
            with contained("person_end", self._telemetry):
                person.end(revoked.get(identity, ()), EndReason.DETACHED)

    def _take(self, event: CallEvent) -> None:
        match event:
            case ParticipantChanged(participant):
                self._declare(participant)
            case ParticipantLeft(identity):
                self._leave(identity)
            case TrackChanged(track):
                self._tracks.setdefault(track.identity, {})[track.sid] = track
                self._settle(track.identity)
            case TrackEnded(track):
                self._tracks.get(track.identity, {}).pop(track.sid, None)
                self._settle(track.identity)
            case TranscriptOffered():
                self._offer(event)

    def _declare(self, participant: Participant) -> None:
        identity = participant.identity
        change = self._gate.declare(participant)
        if change.reason == AUDIT_UNAVAILABLE:
            self._waiting[identity] = participant
        else:
            self._waiting.pop(identity, None)
        person = self._persons.get(identity)
        if person is None:
            if not change.granted and change.reason is None:
                return  # nothing to read, nothing to say: a silent viewer costs nothing
            person = self._persons[identity] = Person(identity, self._scope, self._taps(identity))
        person.consent(change)
        person.tick_every_second()

    def _taps(self, identity: str) -> Taps:
        tracks = self._tracks.setdefault(identity, {})
        return Taps(identity, self._call, self._audit, self._supervisor, tracks)

    def _settle(self, identity: str) -> None:
        person = self._persons.get(identity)
        if person is not None:
            person.settle()

    def _leave(self, identity: str) -> None:
        revoked = self._gate.withdraw(identity).revoked
        self._waiting.pop(identity, None)
        self._tracks.pop(identity, None)
        person = self._persons.pop(identity, None)
        if person is not None:
            person.end(revoked, EndReason.LEFT)

    def _offer(self, offer: TranscriptOffered) -> None:
        """Read a transcript only where its owner is known and permits it; otherwise it is dropped unread."""
        owner = offer.owner_identity
        permit = self._gate.permit(owner, Modality.TEXT) if owner is not None else None
        from_owner_or_agent = offer.sender_identity == owner or offer.sender_kind is ParticipantKind.AGENT
        if owner is None or not from_owner_or_agent:
            self._telemetry.dropped.labels("transcript", "unknown_owner").inc()
        elif permit is None:
            self._telemetry.dropped.labels("transcript", "no_consent").inc()
        else:
            self._persons[owner].offer(offer, permit)

    async def _catch_up(self) -> None:
        """Write the audit's waiting lines, a few at a time, as far as the disk takes them."""
        while not self._audit.retry() and not self._audit.refused:  # noqa: ASYNC110 - it writes, and lets others run
            await asyncio.sleep(0)

    async def _retry_audit(self) -> None:
        """Once a second, while the disk refuses the audit: try to write it, and grant what waits for it."""
        while True:
            await self._clock.sleep(_RETRY_S)
            if not (self._audit.failing or self._waiting):
                continue
            await self._catch_up()
            if not self._audit.failing:
                for participant in list(self._waiting.values()):
                    with contained("room_event", self._telemetry):
                        self._declare(participant)
