"""The rooms that a worker observes: each in a task of its own, and none affected by the failure of another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from sidecar.dispatch.agent_protocol import Assignment
from sidecar.dispatch.containment import contained, leaves
from sidecar.dispatch.observation import RoomObserver
from sidecar.supervisor import describe
from sidecar.telemetry import Telemetry

_log = logging.getLogger(__name__)

_INSIST_EVERY_S: Final = 0.5
_INSIST_TIMES: Final = 10

Ended = Callable[[str, str | None], Awaitable[None]]
"""Called with the id of a job that ended, and the type of its error if it failed."""


@dataclass(slots=True)
class _Observation:
    job_id: str
    task: asyncio.Task[None]
    terminating: bool = False


class Observations:
    """Begins and ends observations. The tasks belong to the group that is given at each start."""

    def __init__(
        self, observer: RoomObserver, telemetry: Telemetry, *, termination_grace_s: float, drain_s: float
    ) -> None:
        self._observer = observer
        self._telemetry = telemetry
        self._termination_grace_s = termination_grace_s
        self._drain_s = drain_s
        self._running: dict[str, _Observation] = {}

    @property
    def rooms(self) -> tuple[str, ...]:
        """Rooms observed now."""
        return tuple(self._running)

    def job_of(self, room: str) -> str | None:
        """The job under which a room is observed."""
        observation = self._running.get(room)
        return None if observation is None else observation.job_id

    def begin(self, assignment: Assignment, group: asyncio.TaskGroup, ended: Ended) -> None:
        """Observe a room that is not observed yet."""
        task = group.create_task(self._observe(assignment, ended))
        self._running[assignment.room] = _Observation(assignment.job_id, task)
        self._telemetry.rooms.set(len(self._running))

    def terminate(self, job_id: str, group: asyncio.TaskGroup) -> None:
        """End a job's observation after a grace period. Repeated calls do not interrupt its leaving."""
        for observation in self._running.values():
            if observation.job_id == job_id and not observation.terminating:
                observation.terminating = True
                group.create_task(self._end(observation.task))

    async def leave_all(self) -> None:
        """Leave all rooms at once and wait for it. What does not leave within `drain_s` is interrupted."""
        tasks = {observation.task for observation in self._running.values()}
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._drain_s)
        if late:
            _log.error("%d observations did not leave their rooms in %g s", len(late), self._drain_s)
        for _ in range(_INSIST_TIMES):  # each cancellation interrupts one wait of the leaving itself
            if not late:
                return
            for task in late:
                task.cancel()
            _, late = await asyncio.wait(late, timeout=_INSIST_EVERY_S)

    async def _observe(self, assignment: Assignment, ended: Ended) -> None:
        error: str | None = None
        try:
            failure = await contained(lambda: self._observer.observe(assignment))
            if failure is not None:
                causes = leaves(failure)
                # Types only: a message may quote words or names, and the server logs what it is sent.
                error = "; ".join(type(each).__name__ for each in causes)
                _log.error("job %s failed: %s", assignment.job_id, "; ".join(map(describe, causes)))
        finally:
            del self._running[assignment.room]
            self._telemetry.rooms.set(len(self._running))
            self._telemetry.assignments.labels("ended" if error is None else "failed").inc()
            failure = await contained(lambda: ended(assignment.job_id, error))
            if failure is not None:
                _log.error("the end of job %s was not reported: %s", assignment.job_id, describe(failure))

    async def _end(self, task: asyncio.Task[None]) -> None:
        await asyncio.wait((task,), timeout=self._termination_grace_s)
        task.cancel()
