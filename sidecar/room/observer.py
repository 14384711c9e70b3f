"""Observes the rooms that LiveKit assigns to this worker: joins, runs a session, leaves."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.dispatch.agent_protocol import Assignment
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.publisher import Envelope, EventSink, RoomPublisher, new_epoch
from sidecar.room.session import RoomSession
from sidecar.schema import RoomChange
from sidecar.sources.livekit.call import LiveKitCall
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.telemetry import Telemetry

log = logging.getLogger(__name__)

_GAP_EVERY_S: Final = 5.0


class CallObserver:
    """A `RoomObserver` that turns an assignment into a session of one epoch."""

    def __init__(
        self,
        *,
        worker: str,
        sink: EventSink,
        audit_folder: Path,
        make_pipeline: Callable[[], ParticipantPipeline],
        options: LiveKitOptions,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._worker = worker
        self._sink = sink
        self._audit_folder = audit_folder
        self._make_pipeline = make_pipeline
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._publishers: dict[str, RoomPublisher] = {}
        self._sessions: dict[str, RoomSession] = {}
        self._gap_said_s: dict[str, float] = {}

    @property
    def failing(self) -> Mapping[str, str]:
        """Error type by name of each task of any room that failed within the last minute."""
        return {name: error for session in self._sessions.values() for name, error in session.failing.items()}

    async def observe(self, assignment: Assignment) -> None:
        """Join the room and stay until the call ends. Cancel to detach. Raises `CredentialsRefused`, `Unavailable`."""
        epoch = new_epoch(self._clock)
        started_s = self._clock.monotonic()
        publisher = RoomPublisher(assignment.room, epoch, self._worker, self._sink, self._clock)
        call = LiveKitCall(
            assignment.url,
            assignment.token,
            self._options,
            clock=self._clock,
            telemetry=self._telemetry,
            epoch_started_s=started_s,
        )
        async with (
            call,
            AuditChain(self._audit_folder, assignment.room, epoch, self._clock, self._telemetry) as audit,
        ):
            session = RoomSession(
                call,
                make_pipeline=self._make_pipeline,
                publisher=publisher,
                audit=audit,
                clock=self._clock,
                epoch_started_s=started_s,
                telemetry=self._telemetry,
            )
            self._publishers[epoch] = publisher
            self._sessions[epoch] = session
            try:
                reason = await session.run()
            finally:
                del self._publishers[epoch], self._sessions[epoch]
                self._gap_said_s.pop(epoch, None)
        log.info("epoch %s ended: %s", epoch, reason)

    def report_loss(self, envelope: Envelope) -> None:
        """Tell a room's subscribers that events were lost, once for every few seconds of loss."""
        publisher = self._publishers.get(envelope.epoch)
        now_s = self._clock.monotonic()
        if publisher is None or now_s - self._gap_said_s.get(envelope.epoch, -_GAP_EVERY_S) < _GAP_EVERY_S:
            return
        self._gap_said_s[envelope.epoch] = now_s
        publisher.publish(RoomChange(room=envelope.room, change="gap", reason="spool_full"))
