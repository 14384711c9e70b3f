"""One person of a room or recording: permits, media, pipeline, proof, events, and one reading a second."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.channel import Channel, Overflow
from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import ConsentChange
from sidecar.errors import PermitRevoked, TrackUnavailable
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.publisher import RoomPublisher
from sidecar.room.events import PersonEvents
from sidecar.room.proof import InferenceProof
from sidecar.room.taps import Consumer
from sidecar.supervisor import Supervised, Supervisor, contained
from sidecar.telemetry import Telemetry
from sidecar.types import (
    AudioChunk,
    EndReason,
    EpisodeChange,
    Missing,
    Modality,
    Permit,
    TranscriptOffered,
    TranscriptSegment,
    VideoFrame,
)

log = logging.getLogger(__name__)

TICK_PHASE_S: Final = 0.25
"""Estimates are made this long after each whole second of media time, on which voice windows end: late enough
for the window's last chunk to arrive and be encoded, early enough to keep the latency low."""

_PATIENCE_S: Final = 0.3
_INFERRED_EVERY_S: Final = 60.0
_OFFERS: Final = 16
_READERS: Final = 4
"""Transcript segments of one person that are read at once, and that wait: a sender can open any number of streams."""


@dataclass(frozen=True, slots=True)
class RoomScope:
    """What all people of one room and epoch share."""

    publisher: RoomPublisher
    audit: AuditChain
    supervisor: Supervisor
    clock: Clock
    telemetry: Telemetry
    media_time_s: Callable[[], float]
    """Media time now, seconds."""
    make_pipeline: Callable[[], ParticipantPipeline]


class Feed(Protocol):
    """Where one person's media come from: the taps of a live room, or the reader of a recording."""

    def settle(self, permits: Mapping[Modality, Permit], consumer: Consumer) -> None:
        """Bring what is open in line with the permits."""
        ...

    def obstacle(self, modality: Modality) -> Missing | None:
        """Why no media can come, or None."""
        ...

    def stop(self) -> None:
        """Begin to close everything, at once. Idempotent."""
        ...


class Person:
    """Everything known about one person, and the only place that publishes it. Belongs to the room's event loop.

    The pipeline is made on the first consent. An unexpected error in the person's media or readings discards what they
    may have broken, is reported as `engine_unavailable`, and the work is tried again.
    """

    def __init__(self, identity: str, room: RoomScope, feed: Feed) -> None:
        self._room = room
        self._feed = feed
        self._events = PersonEvents(identity, room.publisher, room.clock, room.telemetry)
        self._proof = InferenceProof(identity, room.audit, room.publisher)
        self._permits: dict[Modality, Permit] = {}
        self._pipeline: ParticipantPipeline | None = None
        self._failed: set[Modality] = set()
        self._reading_failed = False
        self._ticker: Supervised | None = None
        self._proven_s = 0.0
        self._offers: Channel[tuple[TranscriptOffered, Permit]] = Channel(
            _OFFERS, Overflow.DROP_OLDEST, lambda _: self._drop_transcript("overload")
        )
        self._readers = 0

    @property
    def face_width_px(self) -> float | None:
        return None if self._pipeline is None else self._pipeline.face_width_px

    def consent(self, change: ConsentChange) -> None:
        """Act on a change of consent: forget what may no longer be known before anything else."""
        self._forget(change.revoked, EndReason.CONSENT_REVOKED)
        for permit in change.granted:
            self._permits[permit.modality] = permit
            self._proof.begin(permit)
        self._have_pipeline()
        self._events.consent(change)
        self.settle()

    def settle(self) -> None:
        """Act on changed tracks or permits, and publish the state of each modality."""
        self._feed.settle(self._permits, self)
        self._events.states({modality: self._state(modality) for modality in Modality})

    def tick_every_second(self) -> None:
        """Begin the live reading, once the person has consented to something. Idempotent."""
        if self._ticker is None and self._permits:
            self._proven_s = self._room.clock.monotonic()
            self._ticker = self._room.supervisor.start("person", self._run, on_failure=lambda _: self._start_over())

    async def see(self, frame: VideoFrame) -> None:
        """Take one picture. Raises `PermitRevoked`."""
        await self._usable_pipeline(frame.permit).see(frame)
        self._failed.discard(Modality.FACE)

    async def hear(self, chunk: AudioChunk) -> None:
        """Take a run of sound. Raises `PermitRevoked`."""
        await self._usable_pipeline(chunk.permit).hear(chunk)
        self._failed.discard(Modality.VOICE)

    def offer(self, offer: TranscriptOffered, permit: Permit) -> None:
        """Read a transcript segment as soon as there is time; too many at once are dropped unread and counted."""
        self._offers.put((offer, permit))
        if self._readers < _READERS:
            self._readers += 1
            self._room.supervisor.start("transcript", self._read_offers)

    def failed(self, modality: Modality) -> None:
        """Discard what an unexpected error in one modality may have broken, and say that it gives nothing now."""
        if modality in self._permits:
            self._failed.add(modality)
        self.prove()
        self._events.episodes(self._forgotten(modality, EndReason.EVIDENCE_LOST))
        self.settle()

    async def tick(self, media_time_s: float) -> None:
        """Publish one second's estimate, episodes and states."""
        self._have_pipeline()
        if self._pipeline is not None:
            await self._read_second(self._pipeline, media_time_s)
        self.settle()

    def prove(self) -> None:
        """Record what was inferred since the last time."""
        if self._pipeline is not None:
            for modality, permit in self._permits.items():
                self._proof.record(permit, self._pipeline.take_tally(modality))

    def end(self, revoked: tuple[Permit, ...], reason: EndReason) -> None:
        """Forget the person, whose permits were just revoked, and say so where they were ever spoken of."""
        if self._ticker is not None:
            self._ticker.stop()
        self._feed.stop()
        self._offers.close()
        self._forget(revoked, reason)
        self._pipeline = None
        if reason is EndReason.LEFT:
            self._events.left()

    async def _read_second(self, pipeline: ParticipantPipeline, media_time_s: float) -> None:
        reading = await pipeline.reading(media_time_s)
        self._reading_failed = False
        present = reading.estimate.evidence if reading.estimate is not None else {}
        missing = {modality: self._state(modality) or Missing.STALE for modality in Modality if modality not in present}
        self._events.reading(reading, missing)

    def _forget(self, revoked: tuple[Permit, ...], reason: EndReason) -> None:
        """First the data, then the proof, then the events."""
        for permit in revoked:
            self._permits.pop(permit.modality, None)
            self._failed.discard(permit.modality)
        pipeline = self._pipeline
        tallies = [None if pipeline is None else pipeline.take_tally(permit.modality) for permit in revoked]
        ends = [self._forgotten(permit.modality, reason) for permit in revoked]
        for permit, tally, ended in zip(revoked, tallies, ends, strict=True):
            self._proof.end(permit, tally)
            self._events.episodes(ended)

    def _forgotten(self, modality: Modality, reason: EndReason) -> Sequence[EpisodeChange]:
        """Forget a modality; the ends of the episodes that rest on it. Where that fails, the whole pipeline goes."""
        pipeline = self._pipeline
        with contained("forget", self._room.telemetry, lambda _: self._drop_pipeline()):
            if pipeline is not None:
                return pipeline.forget(modality, self._room.media_time_s(), reason)
        return ()

    def _start_over(self) -> None:
        """A reading failed: nothing in the pipeline can be relied on."""
        self._reading_failed = True
        self._drop_pipeline()
        self._have_pipeline()
        self.settle()

    def _drop_pipeline(self) -> None:
        """Give up the pipeline, which something may have broken; what it had begun to publish still gets an end."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return
        for modality, permit in self._permits.items():
            self._proof.record(permit, pipeline.take_tally(modality))
        with contained("forget", self._room.telemetry):
            self._events.episodes(pipeline.close(EndReason.EVIDENCE_LOST, self._room.media_time_s()))

    def _have_pipeline(self) -> None:
        """Make the pipeline where one is needed; where that fails, the next tick tries again."""
        if self._pipeline is None and self._permits:
            with contained("pipeline", self._room.telemetry):
                self._pipeline = self._room.make_pipeline()

    def _usable_pipeline(self, permit: Permit) -> ParticipantPipeline:
        """Raises `PermitRevoked` also where the person has ended."""
        permit.check()
        if self._pipeline is None:
            raise PermitRevoked(f"{permit!r}: the person has ended")
        return self._pipeline

    def _state(self, modality: Modality) -> Missing | None:
        """Why a modality gives nothing, or None."""
        if modality not in self._permits:
            return Missing.NO_CONSENT
        if (obstacle := self._feed.obstacle(modality)) is not None:
            return obstacle
        if modality in self._failed or self._reading_failed or self._pipeline is None:
            return Missing.ENGINE_UNAVAILABLE
        return self._pipeline.missing(modality)

    async def _run(self) -> None:
        clock = self._room.clock
        due_s = -math.inf
        while True:
            since_s = self._room.media_time_s() - TICK_PHASE_S
            due_s = max(math.floor(since_s), due_s) + 1.0  # a clock that wakes a little early gives no second tick
            await clock.sleep(due_s - since_s)
            if self._pipeline is not None:
                await self._pipeline.settle(_PATIENCE_S)
            await self.tick(self._room.media_time_s())
            if clock.monotonic() - self._proven_s >= _INFERRED_EVERY_S:
                self._proven_s = clock.monotonic()
                self.prove()

    async def _read_offers(self) -> None:
        try:
            while (item := self._offers.take()) is not None:
                with contained("transcript", self._room.telemetry, lambda _: self.failed(Modality.TEXT)):
                    await self._read(*item)
        finally:
            self._readers -= 1

    async def _read(self, offer: TranscriptOffered, permit: Permit) -> None:
        if not permit.live:
            return self._drop_transcript("revoked")
        try:
            text = await offer.stream.read()
        except TrackUnavailable as error:
            log.warning("a transcript segment broke off: %s", error)
            return self._drop_transcript("broken_off")
        segment = TranscriptSegment(
            offer.segment_id, text, self._room.media_time_s(), self._room.clock.monotonic(), permit
        )
        try:
            await self._usable_pipeline(permit).read(segment)
        except PermitRevoked:
            return self._drop_transcript("revoked")
        self._failed.discard(Modality.TEXT)
        return None

    def _drop_transcript(self, reason: str) -> None:
        self._room.telemetry.dropped.labels("transcript", reason).inc()
