"""A recording through the production pipeline, at full speed: media time is the clock."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeVar

from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import CONSENT_ATTRIBUTE, ConsentGate, parse_consent
from sidecar.errors import ConfigurationError
from sidecar.person_events import PersonEvents
from sidecar.pipeline import ParticipantPipeline
from sidecar.proof import InferenceProof
from sidecar.publish.publisher import RoomPublisher
from sidecar.schema import RoomChange
from sidecar.sources.recording import Recording, end_s, read_recording
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, EndReason, Missing, Modality, Participant, ParticipantKind, Permit, VideoFrame

log = logging.getLogger(__name__)

IDENTITY: Final = "recording"
_TICK_S: Final = 1.0
_TRUNCATED_S: Final = 1.0

Progress = Callable[[float], None]
"""Told the media time that has been read, in seconds."""


class RecordingAnalysis:
    """Runs one recording of one person whose consent the operator attests."""

    def __init__(
        self,
        recording: Recording,
        *,
        pipeline: ParticipantPipeline,
        publisher: RoomPublisher,
        audit: AuditChain,
        clock: Clock,
        telemetry: Telemetry,
        fps: float,
    ) -> None:
        self._recording = recording
        self._pipeline = pipeline
        self._publisher = publisher
        self._audit = audit
        self._clock = clock
        self._fps = fps
        self._events = PersonEvents(IDENTITY, publisher, clock, telemetry)
        self._gate = ConsentGate(audit, telemetry)
        self._proof = InferenceProof(IDENTITY, audit, publisher)
        self._permits: dict[Modality, Permit] = {}
        self._last_s = 0.0

    async def run(self, consent: str, progress: Progress) -> None:
        """Read the whole recording and publish its events. Raises `ConfigurationError` for a malformed consent."""
        self._attach(consent)
        try:
            units = read_recording(
                self._recording,
                self._clock,
                self._fps,
                face=self._permits.get(Modality.FACE),
                voice=self._permits.get(Modality.VOICE),
            )
            ended_s = await self._read(units, progress)
        finally:
            self._detach()
        if 0 < ended_s < self._recording.duration_s - _TRUNCATED_S:
            log.warning(
                "%s is truncated: %.1f of %.1f s could be read",
                self._recording.path.name,
                ended_s,
                self._recording.duration_s,
            )

    def _attach(self, consent: str) -> None:
        modalities, well_formed = parse_consent(consent)
        if not well_formed or not modalities:
            raise ConfigurationError(f"--consent {consent!r}: give some of face,voice,text, separated by commas")
        self._audit.record("attached", source="recording")
        self._say_room("attached")
        person = Participant(IDENTITY, ParticipantKind.STANDARD, {CONSENT_ATTRIBUTE: consent})
        change = self._gate.declare(person)
        for permit in change.granted:
            self._permits[permit.modality] = permit
            self._proof.begin(permit)
        self._events.consent(change)
        self._events.states(self._states())

    async def _read(self, units: Iterator[VideoFrame | AudioChunk], progress: Progress) -> float:
        ended_s, next_tick_s = 0.0, _TICK_S
        while (unit := await asyncio.to_thread(_next, units)) is not None:
            while end_s(unit) > next_tick_s + 1e-6:
                self._tick(next_tick_s)
                next_tick_s += _TICK_S
            if isinstance(unit, AudioChunk):
                await self._pipeline.hear(unit)
            else:
                await self._pipeline.see(unit)
            ended_s = end_s(unit)
            progress(ended_s)
        if ended_s > 0 or self._recording.has_video:
            self._tick(max(ended_s, next_tick_s - _TICK_S))
        return ended_s

    def _tick(self, media_time_s: float) -> None:
        reading = self._pipeline.reading(media_time_s)
        present = reading.estimate.evidence if reading.estimate is not None else {}
        missing = {
            modality: self._obstacle(modality) or self._pipeline.missing(modality) or Missing.STALE
            for modality in Modality
            if modality not in present
        }
        self._events.reading(reading, missing)
        self._events.states(self._states())
        self._last_s = media_time_s

    def _detach(self) -> None:
        for modality, permit in self._permits.items():
            self._proof.end(permit, self._pipeline.take_tally(modality))
        self._events.episodes(self._pipeline.close(EndReason.DETACHED, self._last_s))
        self._gate.withdraw(IDENTITY)
        self._audit.record("detached")
        self._say_room("detached", "end_of_recording")

    def _say_room(self, change: Literal["attached", "detached"], reason: str | None = None) -> None:
        self._publisher.publish(
            RoomChange(room=self._publisher.room, change=change, reason=reason, audit_head=self._audit.head)
        )

    def _states(self) -> dict[Modality, Missing | None]:
        return {modality: self._obstacle(modality) or self._pipeline.missing(modality) for modality in Modality}

    def _obstacle(self, modality: Modality) -> Missing | None:
        if modality not in self._permits:
            return Missing.NO_CONSENT
        present = {
            Modality.FACE: self._recording.has_video,
            Modality.VOICE: self._recording.has_audio,
            Modality.TEXT: False,  # no words without a transcript: recognition is not built in
        }
        return None if present[modality] else Missing.NO_TRACK


Item = TypeVar("Item")


def _next(items: Iterator[Item]) -> Item | None:
    return next(items, None)
