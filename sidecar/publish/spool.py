"""A bounded queue of events on disk, for the time that Redis is away; it outlives the process."""

import logging
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from sidecar.publish.publisher import Envelope

SEGMENT_BYTES: Final = 1 << 20

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Segment:
    path: Path
    size: int


class Spool:
    """Envelopes in segment files of one folder, oldest first. Blocking: call it from a thread.

    An append is fsynced before it returns. A line torn by a crash was never acknowledged and is skipped;
    so that nothing is ever written behind one, each process begins with a new segment.
    The folder belongs to one process: the state folder's lock sees to that.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._segments = deque(_Segment(path, path.stat().st_size) for path in sorted(folder.glob("*.jsonl")))
        self._writable = False
        self._head = self._load_head()
        self._drop_finished_segments()

    @property
    def empty(self) -> bool:
        return not self._segments

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments)

    def append(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Keep `envelopes`; returns those, oldest first, that had to be dropped to stay within the limit.

        Raises `OSError` when the disk refuses; then none of `envelopes` is kept.
        """
        data = b"".join(msgspec.json.encode(envelope) + b"\n" for envelope in envelopes)
        dropped: list[Envelope] = []
        while self._segments and self.size_bytes + len(data) > self._limit_bytes:
            dropped.extend(self._head)
            self._remove_oldest()
        segment = self._segment_to_write()
        self._writable = False
        _append_synced(segment.path, data)
        self._writable = True
        segment.size += len(data)
        if len(self._segments) == 1:
            self._head.extend(envelopes)
        return dropped

    def peek(self, count: int) -> list[Envelope]:
        """The oldest events, at most `count`, which stay until `advance`."""
        return [self._head[index] for index in range(min(count, len(self._head)))]

    def advance(self, count: int) -> None:
        """Forget the `count` oldest events. A crash before their segment is done delivers them once more."""
        for _ in range(count):
            self._head.popleft()
        self._drop_finished_segments()

    def _segment_to_write(self) -> _Segment:
        newest = self._segments[-1] if self._segments else None
        if newest is None or not self._writable or newest.size >= SEGMENT_BYTES:
            number = int(newest.path.stem) + 1 if newest else 1
            newest = _Segment(self._folder / f"{number:012d}.jsonl", 0)
            self._segments.append(newest)
        return newest

    def _drop_finished_segments(self) -> None:
        while self._segments and not self._head:
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        self._segments.popleft().path.unlink(missing_ok=True)
        self._head = self._load_head()

    def _load_head(self) -> deque[Envelope]:
        if not self._segments or not self._segments[0].path.exists():
            return deque()
        envelopes: deque[Envelope] = deque()
        for line in self._segments[0].path.read_bytes().splitlines(keepends=True):
            try:
                envelopes.append(msgspec.json.decode(line, type=Envelope))
            except msgspec.DecodeError:
                log.warning("spool %s: skipped a line torn by a crash", self._segments[0].path.name)
        return envelopes


def _append_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
