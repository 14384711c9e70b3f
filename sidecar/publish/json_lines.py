"""Events as lines of JSON in a file or on standard output."""

import os
from typing import IO

from sidecar.errors import ConfigurationError
from sidecar.publish.publisher import Envelope


class JsonLinesSink:
    """An `EventSink` that writes each event as a line, at once.

    `put` raises `ConfigurationError` where the file cannot be written, and `BrokenPipeError` where its reader has gone,
    which is not an error of the sidecar: `... | head -1` ends so.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def put(self, envelope: Envelope) -> None:
        try:
            self._file.write(envelope.payload + b"\n")
            self._file.flush()
        except BrokenPipeError:
            discard_buffered(self._file)
            raise
        except OSError as error:
            discard_buffered(self._file)
            raise ConfigurationError(f"cannot write events: {error.strerror}") from error


def discard_buffered(file: IO[bytes]) -> None:
    """Let what is left in the file's buffer go nowhere: Python flushes once more at its end, and would fail again."""
    try:
        descriptor = file.fileno()
    except OSError:  # not a real file
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:  # it is where the file had been closed behind Python's back
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
