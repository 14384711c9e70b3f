"""Packets of a file, read on after errors."""

from collections.abc import Iterator, Sequence
from typing import Final

from av.container import InputContainer
from av.error import FFmpegError, PatchWelcomeError
from av.packet import Packet
from av.stream import Stream

from sidecar.sources.recording.report import StreamReport

_TRIES: Final = 50
"""Errors in a row, without a packet between them, after which the file counts as ended."""


def packets(container: InputContainer, streams: Sequence[Stream], report: StreamReport) -> "Iterator[Packet[Stream]]":
    """The packets of some streams, in the order of the file, without empty ones."""
    failures = 0
    while failures < _TRIES:
        try:
            for packet in container.demux(*streams):
                failures = 0
                if size := packet.size:  # an empty packet would end the decoder; PyAV makes some at the end
                    report.read_bytes = max(report.read_bytes, (packet.pos or 0) + size)
                    yield packet
        except IndexError:  # PyAV 18.1, at the end of a file in which tracks appeared on the way
            return
        except FFmpegError as error:
            failures += 1
            if isinstance(error, MemoryError) or _is_io_error(error):
                break
            report.unsupported = isinstance(error, PatchWelcomeError)
            report.unreadable += 1
        else:
            return
    report.gave_up = True


def _is_io_error(error: FFmpegError) -> bool:
    """An error of the disk, which does not go away by reading on; unlike wrong data and interrupted calls."""
    return isinstance(error, OSError) and not isinstance(error, BlockingIOError | InterruptedError)
