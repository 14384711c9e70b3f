"""The audit log: an append-only hash chain per room and epoch that proves what was done, and holds no content.

A line is RFC 8785 canonical JSON; its `hash` is the SHA-256 of the same object without `hash`, its `prev` the
hash of the line before (64 zeros for the first). People and rooms appear as random references; the file beside
it, `EPOCH.names.ndjson`, maps these to names and can be erased without breaking the chain.
"""

import asyncio
import hashlib
import logging
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec
import rfc8785

from sidecar.channel import Channel, Overflow
from sidecar.clock import Clock, rfc3339
from sidecar.errors import AuditBroken, AuditUnavailable, ConfigurationError
from sidecar.files import AppendOnlyFile
from sidecar.telemetry import Telemetry

AuditKind = Literal["attached", "granted", "revoked", "tap_opened", "tap_closed", "inferred", "gap", "detached"]

GENESIS: Final = "0" * 64

_PENDING: Final = 10_000
"""Lines that wait in memory while the disk refuses them."""
_AT_ONCE: Final = 100
"""Lines that one call writes, so that the recovery of a disk does not hold up the event loop (5 ms)."""
_PROBE: Final = b" " * 512

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line before it has its place in the chain."""

    kind: AuditKind
    time: str
    identity: str | None
    fields: dict[str, Any]


class AuditChain:
    """The chain of one room and epoch, open for appending.

    A line is with the system before its call returns, so that it outlives the process; a thread forces it to disk,
    so that a slow disk does not hold up the event loop. While the disk refuses, lines wait in memory in their order
    and `require` raises, so that nothing new is granted; the file always ends in a whole line. `seal` it before its
    head is published for the last time.
    """

    def __init__(self, folder: Path, room: str, epoch: str, clock: Clock, telemetry: Telemetry) -> None:
        """`folder` is `SIDECAR_STATE/audit`. The disk is first touched by the first line."""
        place = folder / hashlib.sha256(room.encode()).hexdigest()[:32]
        self.path = place / f"{epoch}.jsonl"
        self._names_path = place / f"{epoch}.names.ndjson"
        self._room = room
        self._epoch = epoch
        self._clock = clock
        self._telemetry = telemetry
        self._count = 0
        self._head = GENESIS
        self._room_ref = ""
        self._refs: dict[str, str] = {}
        self._pending: Channel[_Entry] = Channel(_PENDING, Overflow.DROP_OLDEST, self._lose)
        self._lost = 0
        self._file: AppendOnlyFile | None = None
        self._dirty = False
        self._failing = False
        self.refused = False
        """Whether the newest attempt to write failed."""
        self._sync_error: OSError | None = None
        self._syncs = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._sync: Future[None] | None = None
        self._sealed = False
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    @property
    def head(self) -> str:
        """Hash of the newest line that was written."""
        return self._head

    @property
    def failing(self) -> bool:
        """True while the disk refuses lines; nothing is granted then."""
        return self._failing

    def record(self, kind: AuditKind, *, identity: str | None = None, **fields: Any) -> None:
        """Append one line, or keep it in memory until the disk takes it. Never raises.

        `fields` are those of the interface: modality, permit, source, track_sid, ...
        """
        if self._sealed:
            self._telemetry.dropped.labels("audit", "closed").inc()
            return
        self._pending.put(self._entry(kind, identity, fields))
        self.retry()

    def require(self, kind: AuditKind, *, identity: str | None = None, **fields: Any) -> None:
        """Append one line now. Raises `AuditUnavailable` where the disk refuses; then nothing of the line is kept."""
        if self._sealed or not self.retry():
            raise AuditUnavailable(f"the audit cannot be written to {self.path.parent}; is the disk full?")
        try:
            self._write(self._entry(kind, identity, fields))
        except OSError as error:
            self._report(error)
            raise AuditUnavailable(f"the audit cannot be written to {self.path.parent}: {error.strerror}") from error

    def retry(self) -> bool:
        """Write what waits, 100 lines at most, if the disk takes it; True where nothing waits any more."""
        try:
            proven = self._flush()
            if self._failing and not proven:
                self._prove()
        except OSError as error:
            self._report(error)
            return False
        self.refused = False
        if not self._pending:
            self._report(None)
        return not self._pending

    def seal(self) -> str:
        """The head after which nothing is written any more; what the disk still refuses is lost and counted."""
        if self._sealed:
            return self._head
        self._sync_error = None  # a failed fsync does not keep the last lines from being written
        while not self.retry() and not self.refused:
            pass
        self._sealed = True
        left = len(self._pending)
        if left or self._lost:
            self._telemetry.dropped.labels("audit", "disk").inc(left)
            log.error("audit of epoch %s: %d lines could not be written", self._epoch, left + self._lost)
        return self._head

    def close(self) -> None:
        """Seal the chain and force it to disk. Blocking; idempotent."""
        if self._closed:
            return
        self.seal()
        self._closed = True
        self._syncs.shutdown(wait=True)
        if self._failing:
            self._telemetry.audit_failing.dec()
        if self._file is None:
            return
        try:
            self._file.sync()
        except OSError as error:
            log.error("audit of epoch %s could not be forced to disk: %s", self._epoch, error.strerror)
        self._file.close()

    def _entry(self, kind: AuditKind, identity: str | None, fields: dict[str, Any]) -> _Entry:
        stated = {name: value for name, value in fields.items() if value is not None}
        return _Entry(kind, rfc3339(self._clock.wall()), identity, stated)

    def _flush(self) -> bool:
        """Write what waits, in order, `_AT_ONCE` lines at most; False where there was nothing. Raises `OSError`."""
        if self._sync_error is not None:
            error, self._dirty = self._sync_error, True
            self._sync_soon()
            raise error
        if self._lost:
            self._write(self._entry("gap", None, {"count": self._lost}))
            self._lost = 0
        for number in range(_AT_ONCE):
            entry = self._pending.peek()
            if entry is None:
                return number > 0
            self._write(entry)
            self._pending.take()
        return True

    def _prove(self) -> None:
        """Write to the file and take it back, to see whether the disk takes lines again. Raises `OSError`."""
        file = self._file or self._open()
        size = file.size
        file.append(_PROBE)  # without a line's end: if the process dies now, this is a torn line
        file.cut(size)

    def _write(self, entry: _Entry) -> None:
        """Give one line its place in the chain. Raises `OSError`; then chain and file are as before."""
        file = self._file or self._open()
        line: dict[str, Any] = {
            "n": self._count,
            "time": entry.time,
            "room_ref": self._room_ref,
            "epoch": self._epoch,
            "kind": entry.kind,
            "prev": self._head,
            **entry.fields,
        }
        if entry.identity is not None:
            line["person_ref"] = self._refs.get(entry.identity) or self._person(entry.identity)
        line["hash"] = _digest(line)
        file.append(rfc8785.dumps(line) + b"\n")
        self._head = line["hash"]
        self._count += 1
        self._dirty = True
        self._sync_soon()

    def _open(self) -> AppendOnlyFile:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._room_ref = self._room_ref or self._name(self._room, "room")
        self._file = AppendOnlyFile(self.path, exclusive=True)
        return self._file

    def _person(self, identity: str) -> str:
        self._refs[identity] = reference = self._name(identity, "person")
        return reference

    def _name(self, name: str, what: str) -> str:
        """A new reference, written down with its name before any line uses it. Raises `OSError`."""
        reference = secrets.token_hex(8)
        names = AppendOnlyFile(self._names_path)
        try:
            names.append(msgspec.json.encode({"ref": reference, "kind": what, "name": name}) + b"\n")
        finally:
            names.close()
        return reference

    def _sync_soon(self) -> None:
        if not self._closed and (self._sync is None or self._sync.done()):
            self._sync = self._syncs.submit(self._sync_while_dirty)

    def _sync_while_dirty(self) -> None:
        """In the chain's thread."""
        while self._dirty and self._file is not None:
            self._dirty = False
            try:
                self._file.sync()
            except OSError as error:
                self._sync_error = error
                return
            self._sync_error = None

    def _lose(self, _entry: _Entry) -> None:
        self._lost += 1
        self._telemetry.dropped.labels("audit", "disk").inc()

    def _report(self, error: OSError | None) -> None:
        """Say once that the disk refuses, and once that it takes lines again."""
        failing = self.refused = error is not None
        if failing is self._failing:
            return
        self._failing = failing
        if error is not None:
            self._telemetry.audit_failing.inc()
            log.error("audit of epoch %s cannot be written, nothing is granted: %s", self._epoch, error.strerror)
        else:
            self._telemetry.audit_failing.dec()
            log.info("audit of epoch %s is written again", self._epoch)


class VerifiedChain(NamedTuple):
    """What a verification found."""

    lines: int
    head: str
    torn: bool
    """True where a fragment of a line follows the last whole one: the process died while it wrote."""


def verify(path: Path, head: str | None = None) -> VerifiedChain:
    """Check a chain up to its last whole line.

    Raises `AuditBroken`, naming the line, when a line was altered, removed or inserted, or when the chain does
    not end in `head`; `ConfigurationError` when the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the audit file {path}: {error.strerror}") from error
    *lines, fragment = content.split(b"\n")
    previous = GENESIS
    for number, line in enumerate(lines):
        previous = _verify_line(number, line, previous)
    if head is not None and previous != head:
        raise AuditBroken(f"{path}: the chain ends in {previous}, not in the published head {head}")
    return VerifiedChain(len(lines), previous, bool(fragment))


def _verify_line(number: int, line: bytes, previous: str) -> str:
    where = f"line {number + 1}"
    try:
        entry = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AuditBroken(f"{where} is not JSON: {error}") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("hash"), str):
        raise AuditBroken(f"{where} is not an audit entry")
    if entry.get("n") != number:
        raise AuditBroken(f"{where} says it is number {entry.get('n')}, expected {number}: lines are missing or added")
    if entry.get("prev") != previous:
        raise AuditBroken(f"{where} does not follow the line before it")
    claimed = entry.pop("hash")
    try:
        digest = _digest(entry)
    except rfc8785.CanonicalizationError as error:
        raise AuditBroken(f"{where} is not canonical JSON: {error}") from error
    if digest != claimed:
        raise AuditBroken(f"{where} was altered: its hash does not match its content")
    return str(claimed)


def _digest(entry: dict[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps(entry)).hexdigest()
