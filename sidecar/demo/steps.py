"""The steps of starting up, shown one by one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class Steps:
    """Says what is under way, then how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """One step; an error marks it as failed and passes on."""
        started_s = time.monotonic()
        done = False
        try:
            with self._console.status(doing):
                yield
            done = True
        finally:
            mark, style = ("✓", "green") if done else ("✗", "red")
            took = f"  {time.monotonic() - started_s:.1f} s"
            self._console.print(Text.assemble((f" {mark} ", style), doing, (took, "dim")))
