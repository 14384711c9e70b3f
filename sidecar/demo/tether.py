"""Runs a command that dies with its parent: `python -I tether.py COMMAND ARGUMENT...`.

Linux kills the process when the thread that started it ends, however that happens, so start servers from a thread that
lives as long as they should (the main thread). Elsewhere only an orderly exit of the parent ends them.
The file runs by its path and imports nothing of the package, so that it starts in a few milliseconds.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(command: list[str]) -> None:
    """Become `command`, in a process group of its own: Ctrl-C reaches the parent alone, which ends it in order."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:  # the parent was gone before the request
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the command is its caller's own


if __name__ == "__main__":
    main(sys.argv[1:])
