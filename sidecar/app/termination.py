"""What SIGINT, SIGTERM and SIGHUP do to a command."""

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Termination:
    """From enter to exit, the first of these signals calls `act`; a second SIGINT ends the process at once.

    `act` cancels the task that entered, until another is set. SIGHUP stays ignored where `nohup` ignores it. The
    handlers are those of the process, not of the event loop, so that they also run while the loop is blocked.
    """

    def __init__(self) -> None:
        self.act: Callable[[], object] = lambda: None
        self.number: int | None = None
        """The signal that came first."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if (task := asyncio.current_task()) is not None:
            self.act = task.cancel
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.number is None:  # else the process is about to end, and a second SIGINT must still be quiet
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def requested(self) -> bool:
        """True after a signal; then a cancellation of the current task is taken back."""
        if self.number is None:
            return False
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        return True

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            if number == signal.SIGINT:
                os._exit(128 + number)
            return
        self.number = number
        self._loop.call_soon_threadsafe(self._call)

    def _call(self) -> None:
        self.act()
