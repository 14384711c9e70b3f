"""Events as lines of JSON in a file or on standard output."""

from typing import IO

from sidecar.publish.publisher import Envelope


class JsonLinesSink:
    """An `EventSink` that writes each event as a line, at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def put(self, envelope: Envelope) -> None:
        self._file.write(envelope.payload + b"\n")
        self._file.flush()
