"""The observation of one room: from the call's events to each person's attendee."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from sidecar.attendee import Attendee
from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import ConsentGate
from sidecar.errors import TrackUnavailable
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.publisher import RoomPublisher
from sidecar.schema import RoomChange
from sidecar.taps import CallSource
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
    Permit,
    TextStream,
    TrackChanged,
    TrackEnded,
    TranscriptOffered,
    TranscriptSegment,
)

log = logging.getLogger(__name__)

DETACHED_BY_REQUEST: Final = "drained"


class RoomSession:
    """Observes one call from its first event to its end, in one TaskGroup."""

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
        self._make_pipeline = make_pipeline
        self._publisher = publisher
        self._audit = audit
        self._clock = clock
        self._epoch_started_s = epoch_started_s
        self._telemetry = telemetry
        self._gate = ConsentGate(audit, telemetry)
        self._attendees: dict[str, Attendee] = {}

    async def run(self) -> str:
        """Observe until the call ends; returns why it did. Cancel it to detach: what is open is closed in order."""
        room = self._publisher.room
        self._audit.record("attached")
        self._publisher.publish(RoomChange(room=room, change="attached", audit_head=self._audit.head))
        reason = DETACHED_BY_REQUEST
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    async for event in self._call.events():
                        if isinstance(event, CallEnded):
                            reason = event.reason
                            break
                        await self._take(event, tasks)
                finally:
                    await self._detach()
        finally:
            self._audit.record("detached")
            self._publisher.publish(
                RoomChange(room=room, change="detached", reason=reason, audit_head=self._audit.head)
            )
        return reason

    async def _detach(self) -> None:
        for identity, attendee in self._attendees.items():
            await attendee.leave(EndReason.DETACHED)
            self._gate.withdraw(identity)
        self._attendees.clear()

    async def _take(self, event: CallEvent, tasks: asyncio.TaskGroup) -> None:
        match event:
            case ParticipantChanged(participant):
                self._declare(participant, tasks)
            case ParticipantLeft(identity):
                await self._leave(identity)
            case TrackChanged(track):
                self._attendee(track.identity, tasks).set_track(track)
            case TrackEnded(track):
                self._attendee(track.identity, tasks).remove_track(track)
            case TranscriptOffered():
                self._offer(event, tasks)

    def _attendee(self, identity: str, tasks: asyncio.TaskGroup) -> Attendee:
        if identity not in self._attendees:
            self._attendees[identity] = Attendee(
                identity,
                call=self._call,
                pipeline=self._make_pipeline(),
                publisher=self._publisher,
                audit=self._audit,
                tasks=tasks,
                clock=self._clock,
                epoch_started_s=self._epoch_started_s,
                telemetry=self._telemetry,
            )
        return self._attendees[identity]

    def _declare(self, participant: Participant, tasks: asyncio.TaskGroup) -> None:
        change = self._gate.declare(participant)
        self._attendee(participant.identity, tasks).consent(change)

    async def _leave(self, identity: str) -> None:
        attendee = self._attendees.pop(identity, None)
        if attendee is not None:
            await attendee.leave(EndReason.LEFT)
        self._gate.withdraw(identity)

    def _offer(self, offer: TranscriptOffered, tasks: asyncio.TaskGroup) -> None:
        """Read a transcript only where its owner is known and permits it; otherwise it is dropped unread."""
        owner = offer.owner_identity
        permit = self._gate.permit(owner, Modality.TEXT) if owner is not None else None
        from_owner_or_agent = offer.sender_identity == owner or offer.sender_kind is ParticipantKind.AGENT
        if owner is None or not from_owner_or_agent:
            self._telemetry.dropped.labels("transcript", "unknown_owner").inc()
        elif permit is None:
            self._telemetry.dropped.labels("transcript", "no_consent").inc()
        else:
            tasks.create_task(self._read(offer.segment_id, offer.stream, permit))

    async def _read(self, segment_id: str, stream: TextStream, permit: Permit) -> None:
        try:
            text = await stream.read()
        except TrackUnavailable as error:
            self._telemetry.dropped.labels("transcript", "broken_off").inc()
            log.warning("a transcript segment broke off: %s", error)
            return
        attendee = self._attendees.get(permit.identity)
        if attendee is not None and permit.live:
            now_s = self._clock.monotonic()
            segment = TranscriptSegment(segment_id, text, now_s - self._epoch_started_s, now_s, permit)
            await attendee.read(segment)
