"""Makes background tasks die, to see that a supervisor starts them again."""

import asyncio
from fnmatch import fnmatchcase
from typing import Any


class KilledByTest(RuntimeError):
    """An error that no component expects."""


def tasks_named(pattern: str) -> list["asyncio.Task[Any]"]:
    """The running tasks whose name matches; supervised ones carry the name they were started with."""
    return [task for task in asyncio.all_tasks() if not task.done() and fnmatchcase(task.get_name(), pattern)]


def kill_task(pattern: str, error: BaseException | None = None) -> int:
    """Raise an error out of what the matching tasks wait for; returns how many were hit.

    A task is left alone while it waits for a thread (whose result would still come) or for its supervisor's back-off.
    """
    hit = 0
    for task in tasks_named(pattern):
        waiter = _innermost_waiter(task)
        if waiter is None or waiter.done() or _waits_for_thread(waiter) or _backs_off(task):
            continue
        waiter.set_exception(KilledByTest("killed by a test") if error is None else error)
        hit += 1
    return hit


def cancel_task(pattern: str) -> int:
    """Cancel the matching tasks; returns how many."""
    tasks = tasks_named(pattern)
    for task in tasks:
        task.cancel()
    return len(tasks)


def _innermost_waiter(task: "asyncio.Task[Any]") -> "asyncio.Future[Any] | None":
    waiter: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
    while isinstance(waiter, asyncio.Task):
        waiter = getattr(waiter, "_fut_waiter", None)
    return waiter


def _waits_for_thread(waiter: "asyncio.Future[Any]") -> bool:
    callbacks = getattr(waiter, "_callbacks", None) or []
    return any("_chain_future" in getattr(callback, "__qualname__", "") for callback, _ in callbacks)


def _backs_off(task: "asyncio.Task[Any]") -> bool:
    awaited = getattr(task.get_coro(), "cr_await", None)
    code = getattr(awaited, "cr_code", None)
    return code is not None and code.co_name == "sleep"
