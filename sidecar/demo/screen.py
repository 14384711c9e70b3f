"""Where the demo is seen: a table drawn in place on a terminal, a line a second elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from sidecar.demo.table import live_table, plain_line
from sidecar.demo.tally import RoomTally


class Screen:
    """Shows a tally again and again; `with` it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._footing = ""
        self.tick_s = 0.5 if self._live else 1.0
        """How often to show it."""

    def show(self, tally: RoomTally, heading: str, footing: str) -> None:
        """Draw the newest state."""
        if self._live is None:
            if footing != self._footing:
                self._footing = footing
                self._console.print(footing, markup=False, highlight=False, soft_wrap=True)
            self._console.print(plain_line(tally, heading), markup=False, highlight=False, soft_wrap=True)
        else:
            self._live.update(live_table(tally, time.time(), heading, footing), refresh=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
