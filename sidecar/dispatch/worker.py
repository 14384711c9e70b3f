"""The worker's part in LiveKit's scheduling: report load, take rooms, give them back."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import msgspec

from sidecar.clock import Clock
from sidecar.dispatch.agent_protocol import (
    AgentConnection,
    Answer,
    Assignment,
    Offer,
    RegistrationOptions,
    Termination,
    WorkerStatus,
    registered,
)
from sidecar.dispatch.lease import LeaseStore, room_key
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.dispatch.observation import RoomObserver
from sidecar.errors import CredentialsRefused, Unavailable
from sidecar.telemetry import Telemetry
from sidecar.types import Options

_log = logging.getLogger(__name__)


class WorkerOptions(Options, frozen=True):
    """How a worker takes part in scheduling."""

    registration: RegistrationOptions = RegistrationOptions()
    report_s: Annotated[float, msgspec.Meta(ge=0.05, le=30)] = 2.5
    """Interval of load reports, seconds."""
    full_load: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.7
    """Load from which on no more rooms are taken; the server's own limit is 0.7."""
    room_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    """Load that a room counts at least, so that rooms made at once spread before their cost can be measured."""
    reconnect_min_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 0.5
    reconnect_max_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 10.0
    termination_grace_s: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    """Time an observation gets to end by itself: the server terminates a job also when its observer left already."""
    drain_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 10.0
    """Longest wait for observations to leave their rooms."""


class WorkerState(Enum):
    """Where a worker stands with the server."""

    CONNECTING = "connecting"
    REGISTERED = "registered"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class _Observation:
    job_id: str
    task: asyncio.Task[None]


class AgentWorker:
    """Registers with LiveKit and observes the rooms it is given, each in a task of its own.

    Single use: `run` once; `drain` from another task makes it return.
    """

    def __init__(
        self,
        server: LiveKitServer,
        observer: RoomObserver,
        leases: LeaseStore,
        *,
        worker_id: str,
        version: str,
        load: Callable[[], float],
        options: WorkerOptions,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._server = server
        self._observer = observer
        self._leases = leases
        self._worker_id = worker_id
        self._version = version
        self._load = load
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._observations: dict[str, _Observation] = {}
        self._connection: AgentConnection | None = None
        self._serving: asyncio.Task[None] | None = None
        self._refusal: CredentialsRefused | None = None
        self._state = WorkerState.CONNECTING
        self._was_registered = asyncio.Event()

    @property
    def state(self) -> WorkerState:
        return self._state

    @property
    def rooms(self) -> tuple[str, ...]:
        """Rooms observed now."""
        return tuple(self._observations)

    async def first_registration(self) -> None:
        """Wait for it: what is dispatched before finds no worker and is tried again only seconds later."""
        await self._was_registered.wait()

    async def run(self) -> None:
        """Stay registered and observe, until drained. Raises `CredentialsRefused`.

        While the server is away the observations go on and the registration is tried again.
        """
        try:
            async with asyncio.TaskGroup() as group:
                if self._state is WorkerState.DRAINING:  # told to before it began
                    return
                self._serving = group.create_task(self._serve(group))
        finally:
            self._state = WorkerState.STOPPED
        if self._refusal is not None:
            raise self._refusal

    async def drain(self) -> None:
        """Take nothing more, leave every room cleanly, and let `run` return."""
        self._state = WorkerState.DRAINING
        await self._report()
        await self._leave_all()
        if self._serving is not None:
            self._serving.cancel()

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        delay_s = self._options.reconnect_min_s
        while True:
            try:
                async with registered(self._server, self._options.registration, self._version) as connection:
                    delay_s = self._options.reconnect_min_s
                    await self._attend(connection, group)
            except* Unavailable as gone:
                _log.warning("not registered, trying again: %s", _reason(gone))
            except* CredentialsRefused as refused:
                self._refusal = _first(refused)
                await self._leave_all()
            if self._refusal is not None:
                return
            await self._clock.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads a herd, guards nothing
            delay_s = min(2 * delay_s, self._options.reconnect_max_s)

    async def _attend(self, connection: AgentConnection, group: asyncio.TaskGroup) -> None:
        self._connection = connection
        if self._state is WorkerState.CONNECTING:
            self._state = WorkerState.REGISTERED
            self._was_registered.set()
        _log.info("registered with %s as %s", self._server.url, self._options.registration.agent_name)
        try:
            async with asyncio.TaskGroup() as duties:
                duties.create_task(self._report_regularly(connection))
                duties.create_task(self._listen(connection, group))
        finally:
            self._connection = None
            if self._state is WorkerState.REGISTERED:
                self._state = WorkerState.CONNECTING

    async def _report_regularly(self, connection: AgentConnection) -> None:
        pinged_s = self._clock.monotonic()
        while True:
            await connection.report(self._status())
            if self._clock.monotonic() - pinged_s >= self._options.registration.ping_s:
                pinged_s = self._clock.monotonic()
                await connection.ping(self._clock.wall())
            await self._clock.sleep(self._options.report_s)

    async def _listen(self, connection: AgentConnection, group: asyncio.TaskGroup) -> None:
        while True:
            notice = await connection.receive()
            match notice:
                case Offer():
                    await connection.answer(notice, await self._consider(notice))
                case Assignment():
                    if self._begin(notice, group):
                        await connection.job_running(notice.job_id)
                    await connection.report(self._status())  # at once: the next room is dealt by it
                case Termination():
                    group.create_task(self._end(notice.job_id))

    async def _consider(self, offer: Offer) -> Answer:
        """Whether to take a room. Redis away does not keep a worker from taking it."""
        if offer.room in self._observations:
            return self._counted("already_observed", Answer.DONE_HERE)
        if self._state is WorkerState.DRAINING:
            return self._counted("refused_draining", Answer.REFUSE)
        if self._load() >= self._options.full_load:
            return self._counted("refused_load", Answer.REFUSE)
        try:
            [holder] = await self._leases.holders([room_key(offer.room)])
        except Unavailable:
            holder = None
        if holder not in (None, self._worker_id):
            return self._counted("refused_held", Answer.REFUSE)
        return self._counted("accepted", Answer.ACCEPT)

    def _begin(self, assignment: Assignment, group: asyncio.TaskGroup) -> bool:
        if assignment.room in self._observations or self._state is WorkerState.DRAINING:
            return False
        task = group.create_task(self._observe(assignment))
        self._observations[assignment.room] = _Observation(assignment.job_id, task)
        self._telemetry.rooms.set(len(self._observations))
        return True

    async def _observe(self, assignment: Assignment) -> None:
        """Run one observation. Whatever it fails of is logged and stops no other room."""
        error: str | None = None
        try:
            # gather hands the failure back as a value: of any kind, without a blanket except.
            [outcome] = await asyncio.gather(self._observer.observe(assignment), return_exceptions=True)
            if isinstance(outcome, Exception):
                error = _reason(outcome)
                _log.error("observation of room %r failed: %s", assignment.room, error, exc_info=outcome)
        finally:
            del self._observations[assignment.room]
            self._telemetry.rooms.set(len(self._observations))
            self._telemetry.assignments.labels("ended" if error is None else "failed").inc()
            await self._tell_ended(assignment.job_id, error)

    async def _tell_ended(self, job_id: str, error: str | None) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.job_ended(job_id, error)
            await self._connection.report(self._status())
        except Unavailable:
            _log.debug("the server went away before it heard that a job ended")

    async def _end(self, job_id: str) -> None:
        for observation in list(self._observations.values()):
            if observation.job_id == job_id:
                await asyncio.wait((observation.task,), timeout=self._options.termination_grace_s)
                observation.task.cancel()

    async def _leave_all(self) -> None:
        tasks = [observation.task for observation in self._observations.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._options.drain_s)
            for task in late:
                task.cancel()  # again: this one interrupts the leaving itself
            if late:
                _log.error("%d observations did not leave their rooms in %g s", len(late), self._options.drain_s)

    async def _report(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.report(self._status())
        except Unavailable:
            _log.debug("the server went away before it heard of the new status")

    def _status(self) -> WorkerStatus:
        draining = self._state is WorkerState.DRAINING
        measured = self._load()
        rooms = len(self._observations)
        # The share of rooms spreads them but never makes a worker full: only what is measured does.
        share = min(self._options.room_share * rooms, 0.9 * self._options.full_load)
        load = max(measured, share)
        self._telemetry.load.set(load)
        return WorkerStatus(load, rooms, full=draining or measured >= self._options.full_load, draining=draining)

    def _counted(self, outcome: str, answer: Answer) -> Answer:
        self._telemetry.assignments.labels(outcome).inc()
        return answer


def _first(group: BaseExceptionGroup[CredentialsRefused]) -> CredentialsRefused:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, CredentialsRefused)
    return error


def _reason(error: BaseException) -> str:
    """The leaves of an error, without the groups around them."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reason(each) for each in error.exceptions)
    return f"{type(error).__name__}: {error}"
