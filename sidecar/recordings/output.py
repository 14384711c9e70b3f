"""The events of a recording as lines of JSON."""

from collections.abc import Callable

from sidecar.publish.publisher import Envelope
from sidecar.recordings.destination import Destination, Writer


class EventLines:
    """An `EventSink` that writes each event as a line, at once. The first error ends the writing."""

    def __init__(self, destination: Destination, writer: Writer) -> None:
        self.on_failure: Callable[[], object] = lambda: None
        """Called once when a line cannot be written; later events are discarded."""
        self._destination = destination
        self._writer = writer
        self._error: OSError | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def put(self, envelope: Envelope) -> None:
        if self._error is not None:
            return
        try:
            self._writer.write(envelope.payload + b"\n")
        except OSError as error:
            self._error = error
            self.on_failure()

    def close(self) -> None:
        """Give a file its name if it has any events. Raises `ConfigurationError`, or `BrokenPipeError` as it is."""
        try:
            if self._writer.size > 0:
                self._writer.keep()
        except OSError as error:
            self._error = self._error or error
        finally:
            self._writer.discard()
        if isinstance(self._error, BrokenPipeError):
            raise self._error
        if self._error is not None:
            raise self._destination.failed(self._error) from self._error
