"""Rooms full of people, observed as a worker would, on fakes and on whatever can fail."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sidecar.clock import Clock
from sidecar.publish.publisher import Envelope, EventSink, RoomPublisher
from sidecar.schema import RoomChange
from sidecar.telemetry import Telemetry
from sidecar.types import Modality, Permit
from tests.faults.files import FileFaults
from tests.faults.invariants import RecordingSink, Resources, World, check_invariants, resources_left
from tests.faults.proxy import FaultyProxy
from tests.faults.rooms import ObservedRoom

_STEP_S: Final = 0.2
_RECOVERED_WITHIN_S: Final = 120.0
"""Of the world's clock, once everything works again: the longest back-off is 30 s, and several may follow."""


class WatchfulSink(RecordingSink):
    """Remembers all events, and finds estimates that no live permit allows."""

    def __init__(self, sink: EventSink, clock: Clock, permits: Sequence[Permit]) -> None:
        super().__init__(sink)
        self._clock = clock
        self._permits = permits
        self.newest: dict[str, tuple[float, frozenset[str]]] = {}
        """By identity: when the newest estimate came, and the modalities in it."""
        self.unpermitted = 0

    def put(self, envelope: Envelope) -> None:
        if envelope.type == "engagement.estimate.v1":
            data = json.loads(envelope.payload)["data"]
            live = {
                permit.modality.value for permit in self._permits if permit.live and permit.identity == data["identity"]
            }
            self.unpermitted += not live.issuperset(data["modalities"])
            self.newest[data["identity"]] = (self._clock.monotonic(), frozenset(data["modalities"]))
        super().put(envelope)


class FaultWorld:
    """A worker's rooms, sink, disk and network, with the model of what should come of them.

    `advance` lets the clock's time pass. `before`: what was held before anything of the world was made. `grace_s`: how
    late a revocation may take effect, on this clock.
    """

    def __init__(
        self,
        folder: Path,
        sink: EventSink,
        *,
        clock: Clock,
        advance: Callable[[float], Awaitable[None]],
        telemetry: Telemetry,
        files: FileFaults,
        permits: list[Permit],
        before: Resources,
        proxy: FaultyProxy | None = None,
        grace_s: float = 0.0,
        rooms: int = 2,
        people: int = 3,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.advance = advance
        self.telemetry = telemetry
        self.files = files
        self.proxy = proxy
        self.sink = WatchfulSink(sink, clock, permits)
        self.permits = permits
        self.publishers: dict[str, RoomPublisher] = {}
        """Those of the running epochs."""
        self.lost: list[Envelope] = []
        self.wrong: list[str] = []
        """What was seen to be wrong while the world ran."""
        self.rooms = [ObservedRoom(self, f"room-{number}", people) for number in range(rooms)]
        self._grace_s = grace_s
        self._overdue: dict[Permit, float] = {}
        self._gap_s: dict[str, float] = {}
        self._before = before

    def report_loss(self, envelope: Envelope) -> None:
        """Take note of a lost event and publish a gap, as the observer does."""
        self.lost.append(envelope)
        now_s, publisher = self.clock.monotonic(), self.publishers.get(envelope.epoch)
        if publisher is not None and now_s - self._gap_s.get(envelope.epoch, -5.0) >= 5.0:
            self._gap_s[envelope.epoch] = now_s
            publisher.publish(RoomChange(room=envelope.room, change="gap", reason="spool_full"))

    async def pass_time(self, seconds: float) -> None:
        """Deliver media while time passes, and watch the permits."""
        for _ in range(max(1, round(seconds / _STEP_S))):
            for room in self.rooms:
                room.feed()
            await self.advance(_STEP_S)
            self._watch_permits()

    def heal(self) -> None:
        """Let everything work from now on."""
        self.files.heal()
        for room in self.rooms:
            room.trouble.heal()
        if self.proxy is not None:
            self.proxy.heal()

    async def recover(self) -> None:
        """Heal, attach all rooms, and wait until everybody is read who may be."""
        self.heal()
        for room in self.rooms:
            room.attach()
        healed_s = self.clock.monotonic()
        while problems := list(self._unrecovered(healed_s)):
            if self.clock.monotonic() - healed_s > _RECOVERED_WITHIN_S:
                self.wrong += problems
                return
            await self.pass_time(2 * _STEP_S)

    async def detach(self) -> None:
        """End all rooms."""
        for room in self.rooms:
            await room.detach()

    async def check(self, delivered: Sequence[bytes], spool_folder: Path | None = None) -> None:
        """Raise `AssertionError` where an invariant is broken. All rooms and the sink have ended."""
        if self.sink.unpermitted:
            self.wrong.append(f"{self.sink.unpermitted} estimates rested on no live permit")
        assert not self.wrong, "\n- ".join(["while it ran:", *self.wrong])
        check_invariants(
            World(
                telemetry=self.telemetry,
                permits=self.permits,
                published=self.sink.envelopes,
                delivered=delivered,
                lost=self.lost,
                spool_folder=spool_folder,
                audit_folder=self.audit_folder,
                resources_left=await resources_left(self._before),
            )
        )

    @property
    def audit_folder(self) -> Path:
        return self.folder / "audit"

    def victims(self) -> list[str]:
        """Names of the running tasks that a supervisor should start again."""
        names = {task.get_name() for task in asyncio.all_tasks() - self._before.tasks}
        return sorted(name for name in names if not name.startswith(("Task-", "observe", "faulty")))

    def _watch_permits(self) -> None:
        """No person has a live permit without consent at this moment."""
        declared = self._declared()
        now_s = self.clock.monotonic()
        stray = [permit for permit in self.permits if permit.live and permit.modality not in declared[permit.identity]]
        self._overdue = {permit: self._overdue.get(permit, now_s) for permit in stray}
        for permit, since_s in self._overdue.items():
            if now_s - since_s >= self._grace_s:
                self.wrong.append(f"a permit for {permit.modality} outlived its consent by {now_s - since_s:.1f} s")
                self._grace_s = float("inf")  # one report is enough

    def _declared(self) -> dict[str, frozenset[Modality]]:
        return {
            person.identity: person.declared() if room.observation is not None else frozenset()
            for room in self.rooms
            for person in room.model.people
        }

    def _unrecovered(self, healed_s: float) -> Iterator[str]:
        for identity, declared in self._declared().items():
            live = {permit.modality for permit in self.permits if permit.live and permit.identity == identity}
            if live != declared:
                yield f"after healing, {identity} declares {sorted(declared)} and has permits for {sorted(live)}"
        for room in self.rooms:
            if room.open_taps() != room.expected_taps():
                yield f"after healing, taps are open on {room.open_taps()}, expected {room.expected_taps()}"
            yield from self._silent(room, healed_s)

    def _silent(self, room: ObservedRoom, healed_s: float) -> Iterator[str]:
        for person in room.model.people:
            expected = {modality.value for modality, _ in person.readable()}
            since_s, present = self.sink.newest.get(person.identity, (0.0, frozenset[Any]()))
            if expected and not (since_s > healed_s and present >= expected):
                yield f"after healing, no estimate of {person.identity} from {sorted(expected)}"
