"""One person in an observed room: their permits and tracks, the pipeline these feed, and its clock."""

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import ConsentChange
from sidecar.errors import PermitRevoked
from sidecar.person_events import PersonEvents
from sidecar.pipeline import ParticipantPipeline
from sidecar.proof import InferenceProof
from sidecar.publish.publisher import RoomPublisher
from sidecar.taps import CallSource, Taps
from sidecar.telemetry import Telemetry
from sidecar.types import EndReason, Missing, Modality, Permit, Track, TranscriptSegment

TICK_PHASE_S: Final = 0.25
"""Estimates are made this long after each whole second of media time, on which voice windows end: late enough
for the window's last chunk to arrive and be encoded, early enough to keep the latency low."""

_PATIENCE_S: Final = 0.3
_INFERRED_EVERY_S: Final = 60.0


class Attendee:
    """Binds one person's permits and tracks to a pipeline and publishes what comes out of it, once a second.

    All methods are called on the event loop of the room.
    """

    def __init__(
        self,
        identity: str,
        *,
        call: CallSource,
        pipeline: ParticipantPipeline,
        publisher: RoomPublisher,
        audit: AuditChain,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        epoch_started_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._pipeline = pipeline
        self._tasks = tasks
        self._clock = clock
        self._epoch_started_s = epoch_started_s
        self._events = PersonEvents(identity, publisher, clock, telemetry)
        self._taps = Taps(identity, call, pipeline, audit, tasks)
        self._proof = InferenceProof(identity, audit, publisher)
        self._permits: dict[Modality, Permit] = {}
        self._ticker: asyncio.Task[None] | None = None

    def consent(self, change: ConsentChange) -> None:
        """Act on a change of consent: forget what may no longer be known before anything else."""
        for permit in change.revoked:
            self._proof.end(permit, self._pipeline.take_tally(permit.modality))
            del self._permits[permit.modality]
            self._events.episodes(self._pipeline.forget(permit.modality, self._media_time_s()))
        for permit in change.granted:
            self._permits[permit.modality] = permit
            self._proof.begin(permit)
        self._events.consent(change)
        if self._events.attached and self._ticker is None:
            self._ticker = self._tasks.create_task(self._tick())
        self._settle()

    def set_track(self, track: Track) -> None:
        self._taps.set_track(track)
        self._settle()

    def remove_track(self, track: Track) -> None:
        self._taps.remove_track(track)
        self._settle()

    async def read(self, segment: TranscriptSegment) -> None:
        """Take some of the person's words, for which they gave a permit."""
        with suppress(PermitRevoked):
            await self._pipeline.read(segment)

    async def leave(self, reason: EndReason) -> None:
        """Close everything; says so where the person was ever spoken of."""
        if self._ticker is not None:
            self._ticker.cancel()
        await self._taps.aclose()
        for modality, permit in self._permits.items():
            self._proof.end(permit, self._pipeline.take_tally(modality))
        self._events.episodes(self._pipeline.close(reason, self._media_time_s()))
        if reason is EndReason.LEFT:
            self._events.left()

    def _settle(self) -> None:
        self._taps.settle(self._permits)
        self._events.states(
            {modality: self._obstacle(modality) or self._pipeline.missing(modality) for modality in Modality}
        )

    def _obstacle(self, modality: Modality) -> Missing | None:
        return Missing.NO_CONSENT if modality not in self._permits else self._taps.obstacle(modality)

    async def _tick(self) -> None:
        proven_s = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._until_next_tick_s())
            await self._pipeline.settle(_PATIENCE_S)
            reading = self._pipeline.reading(self._media_time_s())
            present = reading.estimate.evidence if reading.estimate is not None else {}
            self._events.reading(reading, self._missing(present))
            self._settle()
            if self._clock.monotonic() - proven_s >= _INFERRED_EVERY_S:
                proven_s = self._clock.monotonic()
                for modality, permit in self._permits.items():
                    self._proof.record(permit, self._pipeline.take_tally(modality))

    def _missing(self, present: Mapping[Modality, object]) -> dict[Modality, Missing]:
        return {
            modality: self._obstacle(modality) or self._pipeline.missing(modality) or Missing.STALE
            for modality in Modality
            if modality not in present
        }

    def _media_time_s(self) -> float:
        return self._clock.monotonic() - self._epoch_started_s

    def _until_next_tick_s(self) -> float:
        since = self._media_time_s() - TICK_PHASE_S
        return math.floor(since) + 1.0 - since
