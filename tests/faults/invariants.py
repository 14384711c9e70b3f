"""What must hold however rooms, disks and servers failed: one function, used by all fault tests."""

import asyncio
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from sidecar.consent.audit import verify
from sidecar.consent.gate import ConsentChange, ConsentGate
from sidecar.errors import SidecarError
from sidecar.publish.publisher import Envelope, EventSink
from sidecar.telemetry import Telemetry
from sidecar.types import Participant, Permit


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process held at one moment. Take it inside the event loop."""

    tasks: frozenset["asyncio.Task[Any]"]
    descriptors: frozenset[tuple[int, str]]
    """Number and target of each open file or socket."""
    threads: frozenset[threading.Thread]

    @classmethod
    def now(cls) -> "Resources":
        tasks = {task for task in asyncio.all_tasks() if not task.done()}
        threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
        return cls(frozenset(tasks), frozenset(_descriptors()), frozenset(threads))

    def left_since(self, before: "Resources") -> list[str]:
        """What is held now and was not before, described. The pool of `to_thread` does not count."""
        tasks = [f"task {task.get_name()}: {task.get_coro()}" for task in self.tasks - before.tasks]
        descriptors = [f"descriptor {number}: {target}" for number, target in self.descriptors - before.descriptors]
        return tasks + descriptors + [f"thread {thread.name}" for thread in self.threads - before.threads]


async def resources_left(before: Resources, within_s: float = 5.0) -> list[str]:
    """What is still held after giving closing sockets and threads a moment to go."""
    deadline = asyncio.get_running_loop().time() + within_s
    while left := Resources.now().left_since(before):
        if asyncio.get_running_loop().time() > deadline:
            return left
        await asyncio.sleep(0.02)
    return []


@dataclass(slots=True)
class World:
    """What is known once everything has ended; leave out what a test does not have."""

    telemetry: Telemetry | None = None
    permits: Sequence[Permit] = ()
    """All that the gate ever granted (`recorded_permits`)."""
    published: Sequence[Envelope] = ()
    """All that publishers handed to the sink, in order (`RecordingSink.envelopes`)."""
    delivered: Sequence[bytes] = ()
    """The payloads that a reader of the stream got, in order, duplicates included."""
    lost: Sequence[Envelope] = ()
    """What the sink reported as lost."""
    spool_folder: Path | None = None
    audit_folder: Path | None = None
    resources_left: Sequence[str] = ()
    """From the function of this name."""


class RecordingSink:
    """An `EventSink` that remembers what passes it on its way to another."""

    def __init__(self, sink: EventSink) -> None:
        self.sink = sink
        self.envelopes: list[Envelope] = []

    def put(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)
        self.sink.put(envelope)


@contextmanager
def recorded_permits() -> Iterator[list[Permit]]:
    """All permits that gates grant within the block."""
    granted: list[Permit] = []
    declare = ConsentGate.declare

    def recorded(gate: ConsentGate, participant: Participant) -> ConsentChange:
        change = declare(gate, participant)
        granted.extend(change.granted)
        return change

    with patch.object(ConsentGate, "declare", recorded):
        yield granted


def check_invariants(world: World) -> None:
    """Raise `AssertionError` with everything that is wrong about a world in which all rooms have ended."""
    wrong = [
        *_live_permits(world.permits),
        *_gauges(world.telemetry),
        *_events(world),
        *_chains(world.audit_folder),
        *(f"left behind: {each}" for each in world.resources_left),
    ]
    assert not wrong, "broken invariants:\n- " + "\n- ".join(wrong)


def _live_permits(permits: Iterable[Permit]) -> Iterator[str]:
    live = [permit for permit in permits if permit.live]
    if live:
        yield f"{len(live)} permits are live after the end, of {sorted({permit.modality.value for permit in live})}"


def _gauges(telemetry: Telemetry | None) -> Iterator[str]:
    if telemetry is None:
        return
    for gauge in (telemetry.participants, telemetry.rooms, telemetry.audit_failing):
        for metric in gauge.collect():
            yield from (f"gauge {each.name}{each.labels} is {each.value}" for each in metric.samples if each.value)


@dataclass(slots=True)
class _Epoch:
    published: list[int] = field(default_factory=list)
    delivered: dict[int, None] = field(default_factory=dict)
    """Without duplicates, in the order of their first delivery."""
    spooled: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


def _events(world: World) -> Iterator[str]:
    epochs: dict[str, _Epoch] = defaultdict(_Epoch)
    for name, sequence in map(_place, (envelope.payload for envelope in world.published)):
        epochs[name].published.append(sequence)
    for name, sequence in map(_place, world.delivered):
        epochs[name].delivered.setdefault(sequence)
    for name, sequence in map(_place, spooled(world.spool_folder)):
        epochs[name].spooled.append(sequence)
    for name, sequence in map(_place, (envelope.payload for envelope in world.lost)):
        epochs[name].lost.append(sequence)
    for name, epoch in epochs.items():
        yield from (f"epoch {name}: {what}" for what in _epoch(epoch))
    if world.telemetry is not None and world.published:
        counted = int(next(iter(world.telemetry.lost.collect())).samples[0].value)
        if counted != len(world.lost):
            yield f"{len(world.lost)} events were reported as lost, {counted} counted"


def _epoch(epoch: _Epoch) -> Iterator[str]:
    if epoch.published != list(range(1, len(epoch.published) + 1)):
        yield "published sequences have holes or are out of order"
    known = epoch.delivered.keys() | set(epoch.spooled) | set(epoch.lost)
    if missing := sorted(set(epoch.published) - known):
        yield f"{len(missing)} events are neither delivered, spooled nor counted as lost: {_some(missing)}"
    if unknown := sorted(known - set(epoch.published)):
        yield f"{len(unknown)} events were delivered, spooled or lost but never published: {_some(unknown)}"
    if len(set(epoch.lost)) != len(epoch.lost):
        yield "an event was reported as lost twice"
    order = list(epoch.delivered)
    if overtaken := [later for earlier, later in pairwise(order) if later < earlier]:
        yield f"{len(overtaken)} events were delivered after a later one: {_some(overtaken)}"


def spooled(folder: Path | None) -> Iterator[bytes]:
    """The payloads of the whole lines in a spool's segments."""
    for path in sorted(folder.glob("*.jsonl")) if folder is not None else ():
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line, type=Envelope).payload


def _place(payload: bytes) -> tuple[str, int]:
    event = json.loads(payload)
    return event["epoch"], int(event["sequence"])


def _chains(folder: Path | None) -> Iterator[str]:
    """Each chain verifies up to its last whole line."""
    for path in sorted(folder.rglob("*.jsonl")) if folder is not None else ():
        try:
            verify(path)
        except SidecarError as error:
            yield f"audit chain does not verify: {error}"


def _descriptors() -> Iterator[tuple[int, str]]:
    for name in os.listdir("/proc/self/fd"):
        try:
            yield int(name), os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor of this very listing


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
