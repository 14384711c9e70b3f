"""A bounded queue of events on disk, for the time that Redis is away; it outlives the process."""

import contextlib
import errno
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from sidecar.errors import ConfigurationError
from sidecar.files import AppendOnlyFile
from sidecar.publish.publisher import Envelope

SEGMENT_BYTES: Final = 1 << 20

_READABLE_BYTES: Final = 16 << 20
"""A larger file is none of ours: segments end soon after `SEGMENT_BYTES`."""
_READS: Final = 3
"""Attempts to read a segment before it counts as damaged."""
_NAME: Final = re.compile(r"(\d{1,18})\.jsonl", re.ASCII)
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})
"""Failures to read that say nothing about the file."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Segment:
    number: int
    path: Path
    size: int
    events: int = 0
    """Written by this process."""
    failed_reads: int = 0


@dataclass(slots=True)
class Losses:
    """What the spool could not keep since it was last asked."""

    envelopes: list[Envelope] = field(default_factory=list)
    """Dropped to stay within the limit, oldest first."""
    damaged_segments: int = 0
    """Files that cannot be read."""
    unread: int = 0
    """Events that this process wrote into them; what an earlier one wrote is unknown."""
    damaged_lines: int = 0
    """Lines that are no events, in files that can be read."""


class Spool:
    """Envelopes in segment files of one folder, oldest first. Blocking, for one thread at a time.

    An append is fsynced before it returns. A line torn by a crash was never acknowledged and is skipped; nothing is
    written behind one, because each process, and each append after a failed one, begins a new segment.

    Whichever call to the disk fails, memory and disk agree: a segment enters the queue once its first events are on
    disk, and leaves it once its file is gone or its events are finished. Files of another kind are left alone.
    The folder belongs to one process: the state folder's lock sees to that.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Raises `ConfigurationError` where the folder cannot be used."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._segment_bytes = min(SEGMENT_BYTES, limit_bytes // 8)
        self._segments: deque[_Segment] = deque()
        self._finished: list[_Segment] = []
        """Delivered, but still on disk because they could not be removed."""
        self._newest = 0
        self._head: deque[Envelope] | None = None
        """What is left of the oldest segment; None: not read yet."""
        self._taken: list[Envelope] = []
        self._taken_from: _Segment | None = None
        self._file: AppendOnlyFile | None = None
        """Of the newest segment, while it may be written."""
        self._losses = Losses()
        self._removal_failed = False
        self._find_segments()

    @property
    def empty(self) -> bool:
        """True when no event waits here."""
        return not self._segments and not self._taken

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in (*self._segments, *self._finished))

    def append(self, envelopes: Sequence[Envelope]) -> None:
        """Keep `envelopes`, dropping the oldest segments where they would exceed the limit.

        Raises `OSError` when the disk refuses; then none of `envelopes` is kept. Dropped ones are in `losses`.
        """
        data = b"".join(msgspec.json.encode(envelope) + b"\n" for envelope in envelopes)
        self._make_room(len(data))
        segment = self._write(data)
        if not self._segments:
            self._head = deque()
        if not self._segments or self._segments[-1] is not segment:
            self._segments.append(segment)
        segment.size += len(data)
        segment.events += len(envelopes)
        if len(self._segments) == 1 and self._head is not None:
            self._head.extend(envelopes)

    def take(self, count: int) -> list[Envelope]:
        """The oldest events, at most `count`; they stay on disk until `settle`. Empty when nothing waits.

        A batch that was taken and not settled is returned again. Raises `OSError` where reading should be tried again.
        """
        if self._taken:
            return list(self._taken)
        while self._segments:
            if self._head is None:
                self._head = self._read(self._segments[0])
            if self._head:
                self._taken_from = self._segments[0]
                self._taken = [self._head.popleft() for _ in range(min(count, len(self._head)))]
                break
            self._finish_oldest()
        return list(self._taken)

    def settle(self, waiting: Sequence[Envelope]) -> None:
        """Finish the batch that was taken, but for `waiting`, which is put back.

        Where its segment was dropped meanwhile, `waiting` is lost. After a crash events may be delivered once more.
        """
        segment, self._taken, self._taken_from = self._taken_from, [], None
        if not self._segments or self._segments[0] is not segment:
            self._losses.envelopes.extend(waiting)
        elif self._head is not None:
            self._head.extendleft(reversed(waiting))
            if not self._head:
                self._finish_oldest()

    def losses(self) -> Losses:
        """What was lost since the last call, also by calls that failed."""
        losses, self._losses = self._losses, Losses()
        return losses

    def close(self) -> None:
        """Close the file that is written; the next append begins a new one. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what was acknowledged is synced
                file.close()

    def _find_segments(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            paths = list(self._folder.iterdir())
        except OSError as error:
            raise ConfigurationError(f"SIDECAR_STATE: cannot use {self._folder}: {error.strerror}") from error
        found = [self._segment(path) for path in paths]
        segments = [segment for segment in found if segment is not None]
        if foreign := len(found) - len(segments):
            log.warning("spool: %d files in its folder are no segments and are left alone", foreign)
        self._segments.extend(sorted(segments, key=lambda segment: segment.number))

    def _segment(self, path: Path) -> _Segment | None:
        """The segment at `path`, or None for a file of another kind. Its number is not used again in either case."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        self._newest = max(self._newest, int(match[1]))
        try:
            status = path.lstat()
        except OSError:
            return None
        return _Segment(int(match[1]), path, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def _write(self, data: bytes) -> _Segment:
        """Append to the newest segment, or to a new one that is not in the queue yet. Raises `OSError`."""
        newest = self._segments[-1] if self._segments else None
        if newest is None or self._file is None or newest.size + len(data) > self._segment_bytes:
            self.close()
            self._newest += 1
            path = self._folder / f"{self._newest:012d}.jsonl"
            newest = _Segment(self._newest, path, 0)
            self._file = AppendOnlyFile(path, exclusive=True)
        try:
            self._file.append(data)
            self._file.sync()
            if newest.size == 0:
                _sync_folder(self._folder)
        except OSError:
            self._abandon(newest)
            raise
        return newest

    def _abandon(self, segment: _Segment) -> None:
        """Take back what may have been written of a failed append; whatever stays is a duplicate of a later line."""
        file = self._file
        new = not self._segments or self._segments[-1] is not segment
        if file is not None and not new:
            with contextlib.suppress(OSError):
                file.cut(segment.size)
        self.close()
        if new:
            self._remove(segment)

    def _drop_oldest(self) -> None:
        """Raises `OSError`, with nothing changed, where its file cannot be read now or removed."""
        oldest = self._segments[0]
        if self._head is None:
            self._head = self._read(oldest)
        if self._file is not None and self._file.path == oldest.path:
            self.close()
        oldest.path.unlink(missing_ok=True)
        self._losses.envelopes.extend(self._head)
        self._segments.popleft()
        self._head = None

    def _finish_oldest(self) -> None:
        oldest = self._segments.popleft()
        self._head = None
        if self._file is not None and self._file.path == oldest.path:
            self.close()
        self._remove(oldest)

    def _make_room(self, data_bytes: int) -> None:
        """Raises `OSError` where segments cannot be removed: the limit holds all the same."""
        finished, self._finished = self._finished, []
        for segment in finished:
            self._remove(segment)
        while self.size_bytes + data_bytes > self._limit_bytes:
            if self._segments:
                self._drop_oldest()
            elif self._finished:
                raise OSError(errno.ENOSPC, "the spool is full of segments that cannot be removed")
            else:
                break  # one batch above the limit is better kept than lost

    def _remove(self, segment: _Segment) -> None:
        """Remove the file of a segment that is not in the queue, now or before a later append."""
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            if not self._removal_failed:
                log.error("spool: a finished segment cannot be removed, trying again later: %s", error.strerror)
            self._removal_failed = True
            self._finished.append(segment)
        else:
            self._removal_failed = False

    def _read(self, segment: _Segment) -> deque[Envelope]:
        """The events of a segment; none where it cannot be read. Raises `OSError` where it should be tried again."""
        try:
            if segment.size > _READABLE_BYTES:
                raise OSError(errno.EFBIG, "larger than a segment can be")
            data = segment.path.read_bytes()
        except OSError as error:
            segment.failed_reads += 1
            if error.errno in _PASSING or (error.errno != errno.EFBIG and segment.failed_reads < _READS):
                raise
            self._losses.damaged_segments += 1
            self._losses.unread += segment.events
            log.error("spool: a segment cannot be read, its events are lost: %s", error.strerror)
            return deque()
        *lines, torn = data.split(b"\n")
        if torn:
            log.warning("spool: skipped a line torn by a crash")
        envelopes: deque[Envelope] = deque()
        for line in lines:
            try:
                envelopes.append(msgspec.json.decode(line, type=Envelope))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._losses.damaged_lines += 1
        return envelopes


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content; best effort, since not every file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
