"""One room of the fault world: its model, its trouble, and the session that observes it."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sidecar.consent.audit import AuditChain
from sidecar.pipeline import ParticipantPipeline, PipelineOptions
from sidecar.publish.publisher import RoomPublisher, new_epoch
from sidecar.room.session import RoomSession
from sidecar.types import AudioChunk, CallEnded, CallEvent, TrackSource, VideoFrame
from tests.faults.model import RoomModel
from tests.faults.restless import RestlessCall, RestlessStages, RestlessTap, Trouble

if TYPE_CHECKING:
    from tests.faults.world import FaultWorld

_QUEUED: Final = 5
"""Units that wait in a tap at most: real taps are bounded too."""

_PICTURE: Final = np.zeros((2, 2, 3), np.uint8)
_SOUND: Final = np.zeros(3200, np.float32)
_ENDS_WITHIN_S: Final = 20.0
"""Of our time, in which an audit is also forced to a real disk."""


@dataclass(slots=True)
class Observation:
    """One epoch of a room."""

    call: RestlessCall
    publisher: RoomPublisher
    started_s: float
    task: "asyncio.Task[None]"
    broken: bool = False
    """Its call was made to fail: the session may end with that error."""


class ObservedRoom:
    """A room, what is known of its people, and the session that observes it now, if any."""

    def __init__(self, world: "FaultWorld", name: str, people: int) -> None:
        self.model = RoomModel(name, people)
        self.trouble = Trouble()
        self.observation: Observation | None = None
        self._name = name
        self._world = world

    def attach(self) -> None:
        """Begin a session where none runs."""
        if self.observation is not None:
            return
        world = self._world
        call = RestlessCall(world.clock, self.trouble)
        call.emit(*self.model.everything())
        publisher = RoomPublisher(self._name, new_epoch(world.clock), "w1", world.sink, world.clock)
        world.publishers[publisher.epoch] = publisher
        started_s = world.clock.monotonic()
        task = asyncio.create_task(self._observe(call, publisher, started_s), name="observe")
        self.observation = Observation(call, publisher, started_s, task)

    async def detach(self, *, ended: bool = False) -> None:
        """End the session: its task is cancelled, or (`ended`) the call ends."""
        observation, self.observation = self.observation, None
        if observation is None:
            return
        if observation.task.done() and not observation.broken:
            self._world.wrong.append("a room ended by itself")
        elif ended:
            observation.call.emit(CallEnded("room_closed"))
        else:
            observation.task.cancel()
        await self._has_ended(observation)

    async def break_call(self, error: Exception) -> None:
        """Let the call itself fail: the session ends, with that error at most."""
        observation, self.observation = self.observation, None
        if observation is not None:
            observation.broken = True
            observation.call.fail(error)
            await self._has_ended(observation)

    def emit(self, events: list[CallEvent]) -> None:
        """Report what happened in the call to the session."""
        if self.observation is not None:
            self.observation.call.emit(*events)

    def feed(self) -> None:
        """Put one unit on each open tap where few are waiting."""
        observation = self.observation
        if observation is None:
            return
        now_s = self._world.clock.monotonic()
        media_time_s = now_s - observation.started_s
        for tap in observation.call.open_taps:
            if tap.units.qsize() >= _QUEUED:
                continue
            if tap.track.source is TrackSource.CAMERA:
                tap.units.put_nowait(VideoFrame(_PICTURE, media_time_s, now_s, tap.permit))
            else:
                tap.units.put_nowait(AudioChunk(_SOUND, media_time_s, now_s, tap.permit))

    def taps(self) -> list[RestlessTap]:
        """The open ones."""
        return self.observation.call.open_taps if self.observation is not None else []

    def open_taps(self) -> list[tuple[str, str]]:
        """Identity and track of each open tap."""
        return sorted((tap.permit.identity, tap.track.sid) for tap in self.taps())

    def expected_taps(self) -> list[tuple[str, str]]:
        """Those that should be open when everything works."""
        return sorted((person.identity, track.sid) for person in self.model.people for _, track in person.readable())

    async def _observe(self, call: RestlessCall, publisher: RoomPublisher, started_s: float) -> None:
        world = self._world
        stages = RestlessStages(world.clock, self.trouble)
        async with AuditChain(world.audit_folder, self._name, publisher.epoch, world.clock, world.telemetry) as audit:
            session = RoomSession(
                call,
                make_pipeline=lambda: ParticipantPipeline(stages, PipelineOptions()),
                publisher=publisher,
                audit=audit,
                clock=world.clock,
                epoch_started_s=started_s,
                telemetry=world.telemetry,
            )
            await session.run()

    async def _has_ended(self, observation: Observation) -> None:
        """Wait for the end, and take note of what is wrong with it."""
        wrong, deadline_s = self._world.wrong, time.monotonic() + _ENDS_WITHIN_S
        while not observation.task.done():
            await self._world.advance(0.1)
            if time.monotonic() > deadline_s:
                wrong.append(f"a room did not end within {_ENDS_WITHIN_S:.0f} s")
                observation.task.cancel()
                break
        await asyncio.wait([observation.task])
        error = None if observation.task.cancelled() else observation.task.exception()
        if error is not None and not observation.broken:
            wrong.append(f"a room ended with {error!r}")
        self._world.publishers.pop(observation.publisher.epoch, None)
        people = {person.identity for person in self.model.people}
        if live := [permit for permit in self._world.permits if permit.live and permit.identity in people]:
            wrong.append(f"{len(live)} permits were live after a room had ended")
