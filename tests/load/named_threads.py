"""Runs the sidecar with its Python threads' names shown by the kernel: `python -m tests.load.named_threads worker`.

Before 3.14 Python keeps the names of its threads to itself, and CPU time in /proc could not be told apart. A thread's
profile function names it at its first call and takes itself away.
"""

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any


def _show_name(_frame: FrameType, _event: str, _argument: Any) -> None:
    sys.setprofile(None)
    thread = threading.current_thread()
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(thread.name, "utf-8")


def show_names() -> None:
    """Name every Python thread that starts from now on; the kernel cuts the names at 15 bytes."""
    threading.setprofile(_show_name)


if __name__ == "__main__":
    show_names()
    from sidecar.cli import main

    sys.exit(main())
