"""Failures as values: what goes wrong with one room, round or connection must not end the others."""

import asyncio
from collections.abc import Awaitable, Callable


async def contained(work: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Run `work` to its end and return its failure, if any. Cancelling the caller cancels `work`.

    `asyncio.gather` hands any failure back as a value, without a blanket `except`.
    """
    [outcome] = await asyncio.gather(work(), return_exceptions=True)
    if isinstance(outcome, asyncio.CancelledError):  # it ended by itself, as if cancelled: not a failure
        return None
    return outcome


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group, however deep; the error itself where it is not a group."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]
