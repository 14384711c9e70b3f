"""One person in an observed room: says what may be said about them, when, and why something is missing."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from sidecar.clock import Clock
from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import ConsentChange
from sidecar.errors import PermitRevoked
from sidecar.pipeline import ParticipantPipeline, Reading
from sidecar.publish.events import episode_data, estimate_data
from sidecar.publish.publisher import RoomPublisher
from sidecar.schema import ParticipantChange
from sidecar.taps import CallSource, Taps
from sidecar.telemetry import Telemetry
from sidecar.types import EndReason, EpisodeChange, Missing, Modality, Permit, Track, TranscriptSegment

TICK_PHASE_S: Final = 0.25
"""Estimates are made this long after each whole second of media time, on which voice windows end: late enough
for the window's last chunk to arrive and be encoded, early enough to keep the latency low."""

_PATIENCE_S: Final = 0.3
_INFERRED_EVERY_S: Final = 60.0
_OFF: Final = frozenset({Missing.NO_FACE, Missing.AMBIGUOUS_FACE, Missing.NO_MODEL, Missing.UNSUPPORTED_LANGUAGE})
"""What turns a modality's published state off although its tap is open. Silence does not."""


class Attendee:
    """Binds one person's permits and tracks to a pipeline, and publishes what comes out of it.

    Nothing is published before the first consent. All methods are called on the event loop of the room.
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
        self._identity = identity
        self._pipeline = pipeline
        self._publisher = publisher
        self._audit = audit
        self._tasks = tasks
        self._clock = clock
        self._epoch_started_s = epoch_started_s
        self._telemetry = telemetry
        self._taps = Taps(identity, call, pipeline, audit, tasks)
        self._permits: dict[Modality, Permit] = {}
        self._states: dict[Modality, Missing | None] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._attached = False
        self._announced: tuple[tuple[Modality, ...], str | None] = ((), None)
        self._proven_to: dict[Modality, int] = {}

    def consent(self, change: ConsentChange) -> None:
        """Act on a change of consent: forget what may no longer be known before anything else."""
        for permit in change.revoked:
            self._prove_inference(permit.modality, permit)
            del self._permits[permit.modality]
            self._publish_episodes(self._pipeline.forget(permit.modality, self._media_time_s()))
        for permit in change.granted:
            self._permits[permit.modality] = permit
            self._proven_to[permit.modality] = self._publisher.sequence
        self._announce_consent(change)
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
            self._prove_inference(modality, permit)
        self._publish_episodes(self._pipeline.close(reason, self._media_time_s()))
        if self._attached and reason is EndReason.LEFT:
            self._say(ParticipantChange(room=self._room, identity=self._identity, change="left", consent=[]))

    @property
    def _room(self) -> str:
        return self._publisher.room

    def _announce_consent(self, change: ConsentChange) -> None:
        announced = (change.consent, change.reason)
        spoken_of = self._attached or change.consent or change.reason == Missing.UNSUPPORTED_SOURCE
        if announced == self._announced or not spoken_of:
            return
        self._announced = announced
        attaches = bool(change.consent) and not self._attached
        self._say(
            ParticipantChange(
                room=self._room,
                identity=self._identity,
                change="attached" if attaches else "consent",
                consent=list(change.consent),
                reason=change.reason,
            )
        )
        if attaches:
            self._attached = True
            self._ticker = self._tasks.create_task(self._tick())

    def _settle(self) -> None:
        self._taps.settle(self._permits)
        self._announce_states()

    def _announce_states(self) -> None:
        """Publish each modality's state where it changed: off with a reason, or on (None)."""
        if not self._attached:
            return
        for modality in Modality:
            state = self._state(modality)
            if modality not in self._states and state is Missing.NO_CONSENT:
                continue
            if modality in self._states and self._states[modality] == state:
                continue
            self._states[modality] = state
            self._say(
                ParticipantChange(
                    room=self._room,
                    identity=self._identity,
                    change="modality",
                    consent=[granted for granted in Modality if granted in self._permits],
                    modality=modality,
                    state="on" if state is None else "off",
                    reason=state,
                )
            )

    def _state(self, modality: Modality) -> Missing | None:
        obstacle = self._obstacle(modality)
        if obstacle is not None:
            return obstacle
        missing = self._pipeline.missing(modality)
        return missing if missing in _OFF else None

    def _obstacle(self, modality: Modality) -> Missing | None:
        return Missing.NO_CONSENT if modality not in self._permits else self._taps.obstacle(modality)

    async def _tick(self) -> None:
        proven_s = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._until_next_tick_s())
            await self._pipeline.settle(_PATIENCE_S)
            self._publish_reading(self._pipeline.reading(self._media_time_s()))
            self._announce_states()
            if self._clock.monotonic() - proven_s >= _INFERRED_EVERY_S:
                proven_s = self._clock.monotonic()
                for modality, permit in self._permits.items():
                    self._prove_inference(modality, permit)

    def _media_time_s(self) -> float:
        return self._clock.monotonic() - self._epoch_started_s

    def _until_next_tick_s(self) -> float:
        since = self._media_time_s() - TICK_PHASE_S
        return math.floor(since) + 1.0 - since

    def _publish_reading(self, reading: Reading) -> None:
        if reading.estimate is not None:
            estimate = reading.estimate
            latency_s = self._clock.monotonic() - estimate.newest_arrived_s
            data = estimate_data(
                self._room,
                self._identity,
                estimate,
                label=reading.label,
                words=reading.words,
                missing=self._missing(estimate.evidence),
                latency_s=latency_s,
            )
            try:
                self._publisher.publish(data, estimate.permits)
            except PermitRevoked:
                self._telemetry.dropped.labels("publish", "revoked").inc()
            else:
                self._telemetry.latency.observe(latency_s)
                self._telemetry.estimates.labels(str(data.abstained).lower()).inc()
        self._publish_episodes(reading.episodes)

    def _missing(self, present: Mapping[Modality, object]) -> dict[Modality, Missing]:
        absent = [modality for modality in Modality if modality not in present]
        return {
            modality: self._obstacle(modality) or self._pipeline.missing(modality) or Missing.STALE
            for modality in absent
        }

    def _publish_episodes(self, changes: Sequence[EpisodeChange]) -> None:
        for change in changes:
            try:
                self._publisher.publish(episode_data(self._room, self._identity, change), change.permits)
            except PermitRevoked:
                self._telemetry.dropped.labels("publish", "revoked").inc()

    def _prove_inference(self, modality: Modality, permit: Permit) -> None:
        tally = self._pipeline.take_tally(modality)
        if tally is not None:
            self._audit.record(
                "inferred",
                identity=self._identity,
                modality=modality,
                permit=permit.id,
                models=dict(tally.models),
                count=tally.count,
                media_from_s=round(tally.media_from_s, 3),
                media_to_s=round(tally.media_to_s, 3),
                sequence_from=self._proven_to[modality] + 1,
                sequence_to=self._publisher.sequence,
            )
            self._proven_to[modality] = self._publisher.sequence

    def _say(self, change: ParticipantChange) -> None:
        self._publisher.publish(change)
