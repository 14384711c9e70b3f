"""Runs background tasks: restarts those that fail, counts the failures, and can say which are down."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sidecar.clock import Clock
from sidecar.errors import SidecarError
from sidecar.telemetry import Telemetry

log = logging.getLogger(__name__)

_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
_STEADY_S: Final = 60.0
"""A task that ran for so long starts again without a history."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Supervised:
    """One supervised task. Ends when its work returns or `stop` is called."""

    def __init__(self, task: asyncio.Task[None], stopping: set[asyncio.Task[None]]) -> None:
        self._task = task
        self._stopping = stopping

    @property
    def running(self) -> bool:
        return not self._task.done()

    def stop(self) -> None:
        """Cancel the work. Idempotent; returns at once."""
        if not self._task.done():
            self._stopping.add(self._task)
            self._task.cancel()

    async def ended(self) -> None:
        """Return once nothing of the work runs any more; never raises for it."""
        await asyncio.wait((self._task,))


class Supervisor:
    """The background tasks of one process or room. Belongs to one event loop; `aclose` it."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        """Those that must not start again. Not by `Task.cancelling`: Python 3.11 leaves it raised by a failed group."""
        self._failures: dict[str, tuple[str, float]] = {}

    @property
    def failing(self) -> Mapping[str, str]:
        """Type of the newest error, by name of each task that failed within the last minute."""
        since_s = self._clock.monotonic() - _STEADY_S
        return {name: kind for name, (kind, failed_s) in self._failures.items() if failed_s > since_s}

    def start(
        self,
        name: str,
        work: Work,
        on_failure: Callable[[Exception], None] | None = None,
        *,
        longest_delay_s: float = _LONGEST_DELAY_S,
    ) -> Supervised:
        """Run `work` in the background, again and again while it raises, until it returns or is stopped.

        `name` appears in metrics and logs: it must name neither a room nor a person. `on_failure` is called with each
        error before the wait for the next try, which doubles from half a second to `longest_delay_s`.
        """
        task = asyncio.create_task(self._run(name, work, on_failure, longest_delay_s), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._stopping.discard)
        return Supervised(task, self._stopping)

    async def aclose(self, within_s: float | None = None) -> None:
        """Stop all tasks and wait until they have ended. Idempotent.

        `within_s`: the longest wait, seconds; a task that still runs then is counted and left.
        """
        self._stopping.update(self._tasks)
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            return
        _, hanging = await asyncio.wait(self._tasks, timeout=within_s)
        for task in hanging:
            name = task.get_name()
            self._telemetry.dropped.labels("task", "hanging").inc()
            log.error("task %s did not end within %g s", name, within_s or 0.0)

    async def _run(
        self, name: str, work: Work, on_failure: Callable[[Exception], None] | None, longest_delay_s: float
    ) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            started_s = self._clock.monotonic()
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - a supervisor outlives whatever its tasks raise
                if asyncio.current_task() in self._stopping:  # its clean-up failed
                    self._count(name)
                    log.error("task %s failed while it ended: %s", name, describe(error))
                    return
                self._report(name, error)
                with contained(name, self._telemetry):
                    if on_failure is not None:
                        on_failure(error)
            else:
                return
            if self._clock.monotonic() - started_s >= _STEADY_S:
                delay_s = _FIRST_DELAY_S
            await self._clock.sleep(delay_s)
            delay_s = min(2 * delay_s, longest_delay_s)

    def _report(self, name: str, error: Exception) -> None:
        self._failures[name] = (type(error).__name__, self._clock.monotonic())
        self._count(name)
        log.error("task %s failed and is started again: %s", name, describe(error))

    def _count(self, name: str) -> None:
        self._telemetry.task_failures.labels(name).inc()


@contextmanager
def contained(name: str, telemetry: Telemetry, on_failure: Callable[[Exception], None] | None = None) -> Iterator[None]:
    """Keep an unexpected error of one piece of work from ending its neighbours: it is counted and logged.

    Errors that the sidecar raises on purpose should have been handled inside. `on_failure` is called with the error.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - one person's error must not end a room
        telemetry.task_failures.labels(name).inc()
        log.error("%s failed: %s", name, describe(error))
        if on_failure is not None:
            with contained(name, telemetry):
                on_failure(error)


def describe(error: BaseException) -> str:
    """An error for a log: its type and stack. Its message only where the sidecar itself wrote it, since any other may
    quote words, names or tokens."""
    if isinstance(error, SidecarError):
        return f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    stack = " <- ".join(
        f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})" for frame in reversed(frames)
    )
    number = f" {error.errno}" if isinstance(error, OSError) and error.errno is not None else ""
    return f"{type(error).__name__}{number} in {stack}"
