"""A recording through the production pipeline, at full speed: media time is the clock."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Final, Literal

from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import CONSENT_ATTRIBUTE, ConsentGate, parse_consent
from sidecar.errors import AuditUnavailable, ConfigurationError, InvariantBroken
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.publisher import RoomPublisher
from sidecar.room.person import Person, RoomScope
from sidecar.room.taps import Consumer
from sidecar.schema import RoomChange
from sidecar.sources.recording import Recording, RecordingReader, end_s, read_recording
from sidecar.supervisor import Supervisor, contained
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, EndReason, Missing, Modality, Participant, ParticipantKind, Permit, VideoFrame

log = logging.getLogger(__name__)

IDENTITY: Final = "recording"
_TICK_S: Final = 1.0
_FAILURES_IN_A_ROW: Final = 10
"""An error in one unit costs that unit; so many without a success between them end the analysis."""

Progress = Callable[[float], None]
"""Called with the media time that has been read, in seconds."""


class RecordedTracks:
    """The feed of a recording's person: what the file has, read in order by the analysis."""

    def __init__(self, recording: Recording) -> None:
        self._present = {
            Modality.FACE: recording.has_video,
            Modality.VOICE: recording.has_audio,
            Modality.TEXT: False,  # no words without a transcript: recognition is not built in
        }

    def settle(self, permits: Mapping[Modality, Permit], consumer: Consumer) -> None:
        """The reader opens what the permits allow when the analysis begins."""

    def obstacle(self, modality: Modality) -> Missing | None:
        return None if self._present[modality] else Missing.NO_TRACK

    def stop(self) -> None:
        """The reader ends with the analysis."""


class RecordingAnalysis:
    """Runs one recording of one person whose consent the operator attests."""

    def __init__(
        self,
        recording: Recording,
        *,
        make_pipeline: Callable[[], ParticipantPipeline],
        publisher: RoomPublisher,
        audit: AuditChain,
        clock: Clock,
        telemetry: Telemetry,
        fps: float,
    ) -> None:
        self._recording = recording
        self._publisher = publisher
        self._audit = audit
        self._clock = clock
        self._telemetry = telemetry
        self._fps = fps
        self._gate = ConsentGate(audit, telemetry)
        self._supervisor = Supervisor(clock, telemetry)
        scope = RoomScope(
            publisher=publisher,
            audit=audit,
            supervisor=self._supervisor,
            clock=clock,
            telemetry=telemetry,
            media_time_s=lambda: self._position_s,
            make_pipeline=make_pipeline,
        )
        self._person = Person(IDENTITY, scope, RecordedTracks(recording))
        self._position_s = 0.0
        self._failures = 0

    async def run(self, consent: str, progress: Progress) -> None:
        """Read the whole recording and publish its events. Cancel it to end early.

        Raises `ConfigurationError` for a malformed consent, `AuditUnavailable` where the audit cannot be written.
        """
        granted = self._attach(consent)
        reader = read_recording(
            self._recording,
            self._clock,
            self._fps,
            face=granted.get(Modality.FACE),
            voice=granted.get(Modality.VOICE),
        )
        reason = "failed"
        try:
            await self._read(reader, progress)
            reason = "end_of_recording"
        except asyncio.CancelledError:
            reason = "interrupted"
            raise
        finally:
            self._detach(reason)
            for finding in reader.report:
                log.warning("%s", finding)
        self._require_audit()

    def _attach(self, consent: str) -> dict[Modality, Permit]:
        check_consent(consent)
        self._audit.require("attached", source="recording")
        self._publish_room("attached")
        change = self._gate.declare(Participant(IDENTITY, ParticipantKind.STANDARD, {CONSENT_ATTRIBUTE: consent}))
        self._person.consent(change)
        self._require_audit()
        return {permit.modality: permit for permit in change.granted}

    def _require_audit(self) -> None:
        """Raises `AuditUnavailable` where the disk refuses the proof of what was done."""
        if not self._audit.retry():
            raise AuditUnavailable(f"the audit cannot be written to {self._audit.path.parent}; make room on the disk")

    async def _read(self, reader: RecordingReader, progress: Progress) -> None:
        """Decode in a thread, one unit ahead of the models."""
        ended_s, next_tick_s = 0.0, _TICK_S
        async with aclosing(_pulled(reader)) as units:
            async for unit in units:
                while end_s(unit) > next_tick_s + 1e-6:
                    await self._tick(next_tick_s)
                    next_tick_s += _TICK_S
                await self._take(unit)
                ended_s = end_s(unit)
                progress(ended_s)
        if ended_s > 0 or self._recording.has_video:
            await self._tick(max(ended_s, next_tick_s - _TICK_S))

    async def _take(self, unit: VideoFrame | AudioChunk) -> None:
        """Hand one unit to the person; an unexpected error costs the unit. Raises `InvariantBroken` after too many."""
        failures = self._failures
        if isinstance(unit, AudioChunk):
            with contained("recording", self._telemetry, lambda _: self._failed(Modality.VOICE)):
                await self._person.hear(unit)
        else:
            with contained("recording", self._telemetry, lambda _: self._failed(Modality.FACE)):
                await self._person.see(unit)
        if self._failures == failures:
            self._failures = 0
        elif self._failures >= _FAILURES_IN_A_ROW:
            raise InvariantBroken(f"{self._failures} units in a row could not be read; the log names the error")

    def _failed(self, modality: Modality) -> None:
        self._failures += 1
        self._person.failed(modality)

    async def _tick(self, media_time_s: float) -> None:
        self._position_s = media_time_s
        await self._person.tick(media_time_s)

    def _detach(self, reason: str) -> None:
        self._person.end(self._gate.withdraw(IDENTITY).revoked, EndReason.DETACHED)
        self._audit.record("detached")
        self._audit.seal()
        self._publish_room("detached", reason)

    def _publish_room(self, change: Literal["attached", "detached"], reason: str | None = None) -> None:
        self._publisher.publish(
            RoomChange(room=self._publisher.room, change=change, reason=reason, audit_head=self._audit.head)
        )


def check_consent(consent: str) -> None:
    """Raises `ConfigurationError` unless `consent` names at least one modality and nothing else."""
    modalities, well_formed = parse_consent(consent)
    if not well_formed or not modalities:
        raise ConfigurationError(f"--consent {consent!r}: give some of face,voice,text, separated by commas")


async def _pulled(reader: RecordingReader) -> AsyncGenerator[VideoFrame | AudioChunk, None]:
    """The units of a reader, which only one thread touches; the next one is decoded while this one is used."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="recording") as thread:
        ahead = loop.run_in_executor(thread, next, reader, None)
        try:
            while (unit := await ahead) is not None:
                ahead = loop.run_in_executor(thread, next, reader, None)
                yield unit
        finally:
            ahead.cancel()
            thread.submit(reader.close)
