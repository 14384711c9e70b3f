"""The worker's part in LiveKit's scheduling: report load, take rooms, give them back.

Only `CredentialsRefused` at a registration ends the run. Whatever else goes wrong with a message, a connection or a
room is logged, and the connection is made again where it was the cause.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Final

import msgspec

from sidecar.clock import Clock
from sidecar.dispatch.accepted import AcceptedRooms
from sidecar.dispatch.agent_protocol import (
    AgentConnection,
    Answer,
    Assignment,
    Offer,
    RegistrationOptions,
    Termination,
    Unreadable,
    WorkerStatus,
    registered,
)
from sidecar.dispatch.containment import contained, leaves
from sidecar.dispatch.lease import LeaseStore, room_key
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.dispatch.observation import RoomObserver
from sidecar.dispatch.observations import Observations
from sidecar.errors import CredentialsRefused, SidecarError, Unavailable
from sidecar.supervisor import describe
from sidecar.telemetry import Telemetry
from sidecar.types import Options

_log = logging.getLogger(__name__)

_LEASE_WITHIN_S: Final = 0.5
"""A slow Redis must not use up the 10 s in which the server wants an answer to each of several offers."""


class WorkerOptions(Options, frozen=True):
    """How a worker takes part in scheduling."""

    registration: RegistrationOptions = RegistrationOptions()
    report_s: Annotated[float, msgspec.Meta(ge=0.05, le=30)] = 2.5
    """Interval of load reports, seconds."""
    full_load: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.7
    """Load from which on no more rooms are taken; the server's own limit is 0.7."""
    room_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    """Load that a room counts at least, so that rooms made at once spread before their cost can be measured. A room
    that was accepted and has not started counts this much on top of the measured load."""
    assignment_wait_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    """Time after which an accepted room that was not assigned no longer counts: another worker has it."""
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
        self._leases = leases
        self._worker_id = worker_id
        self._version = version
        self._load = load
        self._options = options
        self._clock = clock
        self._telemetry = telemetry
        self._observations = Observations(
            observer, telemetry, termination_grace_s=options.termination_grace_s, drain_s=options.drain_s
        )
        self._accepted = AcceptedRooms(options.assignment_wait_s, clock)
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
        return self._observations.rooms

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
        await self._observations.leave_all()
        if self._serving is not None:
            self._serving.cancel()

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        """Register again and again; `group` gets the observations, which outlive a connection."""
        delay_s = self._options.reconnect_min_s
        while True:
            began_s = self._clock.monotonic()
            failure = await contained(lambda: self._connect(group))
            causes = [] if failure is None else leaves(failure)
            self._refusal = next((each for each in causes if isinstance(each, CredentialsRefused)), None)
            if self._refusal is not None:
                await self._observations.leave_all()
                return
            expected = all(isinstance(each, Unavailable) for each in causes)
            _log.log(
                logging.WARNING if expected else logging.ERROR,
                "not registered, trying again: %s",
                "; ".join(map(describe, causes)) or "the connection ended",
            )
            # A server that takes each registration and drops it at once is not asked ever faster.
            if self._clock.monotonic() - began_s > self._options.reconnect_max_s:
                delay_s = self._options.reconnect_min_s
            await self._clock.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads a herd, guards nothing
            delay_s = min(2 * delay_s, self._options.reconnect_max_s)

    async def _connect(self, group: asyncio.TaskGroup) -> None:
        async with registered(self._server, self._options.registration, self._version) as connection:
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
                self._accepted.clear()
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
                    answer = await self._consider(notice)
                    await connection.answer(notice, answer)
                    if answer is Answer.ACCEPT:  # at once: the next room is dealt by it
                        await connection.report(self._status())
                case Assignment():
                    await self._begin(notice, connection, group)
                    await connection.report(self._status())
                case Termination():
                    self._observations.terminate(notice.job_id, group)
                case Unreadable():
                    self._telemetry.dropped.labels("agent_protocol", "unreadable").inc()
                    _log.warning("a message of the server was skipped: it cannot be read")

    async def _consider(self, offer: Offer) -> Answer:
        """Whether to take a room. Redis away does not keep a worker from taking it."""
        if offer.room in self._observations.rooms:
            return self._counted("already_observed", Answer.DONE_HERE)
        if self._state is WorkerState.DRAINING:
            return self._counted("refused_draining", Answer.REFUSE)
        if offer.room not in self._accepted:  # a room that is offered twice counts once
            if self._expected_load() >= self._options.full_load:
                return self._counted("refused_load", Answer.REFUSE)
            if await self._holder(offer.room) not in (None, self._worker_id):
                return self._counted("refused_held", Answer.REFUSE)
        self._accepted.add(offer.room)
        return self._counted("accepted", Answer.ACCEPT)

    async def _holder(self, room: str) -> str | None:
        """The worker that observes a room; None if there is none or Redis does not say."""
        try:
            async with asyncio.timeout(_LEASE_WITHIN_S):
                [holder] = await self._leases.holders([room_key(room)])
        except (SidecarError, TimeoutError):
            return None
        return holder

    async def _begin(self, assignment: Assignment, connection: AgentConnection, group: asyncio.TaskGroup) -> None:
        """Observe the room, or tell the server that the job is over."""
        self._accepted.discard(assignment.room)
        observed_as = self._observations.job_of(assignment.room)
        if not assignment.usable:
            self._telemetry.assignments.labels("unusable").inc()
            _log.error("job %s names no room, token or address that can be used", assignment.job_id)
            await connection.job_ended(assignment.job_id, "unusable assignment")
        elif self._state is WorkerState.DRAINING:
            await connection.job_ended(assignment.job_id, "draining")
        elif observed_as is None:
            self._observations.begin(assignment, group, self._tell_ended)
            await connection.job_running(assignment.job_id)
        elif observed_as != assignment.job_id:
            await connection.job_ended(assignment.job_id, None)

    async def _tell_ended(self, job_id: str, error: str | None) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.job_ended(job_id, error)
            await self._connection.report(self._status())
        except Unavailable:
            _log.debug("the server went away before it heard that a job ended")

    async def _report(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.report(self._status())
        except Unavailable:
            _log.debug("the server went away before it heard of the new status")

    def _expected_load(self) -> float:
        """The measured load, and what the rooms will add that were accepted and have not started."""
        return self._load() + self._options.room_share * len(self._accepted)

    def _status(self) -> WorkerStatus:
        draining = self._state is WorkerState.DRAINING
        expected = self._expected_load()
        rooms = len(self._observations.rooms) + len(self._accepted)
        # The share of running rooms spreads them but never makes a worker full: only what is measured does.
        share = min(self._options.room_share * rooms, 0.9 * self._options.full_load)
        load = min(1.0, max(expected, share))
        self._telemetry.load.set(load)
        return WorkerStatus(load, rooms, full=draining or expected >= self._options.full_load, draining=draining)

    def _counted(self, outcome: str, answer: Answer) -> Answer:
        self._telemetry.assignments.labels(outcome).inc()
        return answer
