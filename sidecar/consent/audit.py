"""The audit log: an append-only hash chain per room and epoch that proves what was done, and holds no content.

A line is RFC 8785 canonical JSON; its `hash` is the SHA-256 of the same object without `hash`, its `prev` the
hash of the line before (64 zeros for the first). People and rooms appear as random references; the file beside
it, `EPOCH.names.ndjson`, maps these to names and can be erased without breaking the chain.
"""

import hashlib
import os
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
import rfc8785

from sidecar.clock import Clock, rfc3339
from sidecar.errors import AuditBroken, ConfigurationError

AuditKind = Literal["attached", "granted", "revoked", "tap_opened", "tap_closed", "inferred", "detached"]

GENESIS: Final = "0" * 64


class AuditChain:
    """The chain of one room and epoch, open for appending.

    A line is with the system before its call returns, so that it outlives the process; a thread forces it to disk,
    so that a slow disk does not hold up the event loop. A disk that fails is raised by the next call.
    """

    def __init__(self, folder: Path, room: str, epoch: str, clock: Clock) -> None:
        """`folder` is `SIDECAR_STATE/audit`. Raises `OSError` when it cannot be written."""
        place = folder / hashlib.sha256(room.encode()).hexdigest()[:32]
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = place / f"{epoch}.jsonl"
        self._names_path = place / f"{epoch}.names.ndjson"
        self._epoch = epoch
        self._clock = clock
        self._count = 0
        self._head = GENESIS
        self._refs: dict[str, str] = {}
        self._dirty = False
        self._syncs = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._sync: Future[None] | None = None
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._room_ref = self._name(room, "room")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def head(self) -> str:
        """Hash of the newest line."""
        return self._head

    def record(self, kind: AuditKind, *, identity: str | None = None, **fields: Any) -> None:
        """Append one line. `fields` are those of the interface: modality, permit, source, track_sid, ...

        Raises `OSError` when the disk refuses.
        """
        entry: dict[str, Any] = {
            "n": self._count,
            "time": rfc3339(self._clock.wall()),
            "room_ref": self._room_ref,
            "epoch": self._epoch,
            "kind": kind,
            "prev": self._head,
            **{name: value for name, value in fields.items() if value is not None},
        }
        if identity is not None:
            entry["person_ref"] = self._refs.get(identity) or self._name(identity, "person")
        entry["hash"] = _digest(entry)
        os.write(self._file, rfc8785.dumps(entry) + b"\n")
        self._sync_soon()
        self._head = entry["hash"]
        self._count += 1

    def close(self) -> None:
        """Force what was written to disk. Idempotent."""
        if self._file >= 0:
            self._syncs.shutdown(wait=True)
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _sync_soon(self) -> None:
        self._dirty = True
        if self._sync is None or self._sync.done():
            if self._sync is not None:
                self._sync.result()
            self._sync = self._syncs.submit(self._sync_while_dirty)

    def _sync_while_dirty(self) -> None:
        while self._dirty:
            self._dirty = False
            os.fsync(self._file)

    def _name(self, name: str, what: str) -> str:
        reference = secrets.token_hex(8)
        if what == "person":
            self._refs[name] = reference
        line = msgspec.json.encode({"ref": reference, "kind": what, "name": name}) + b"\n"
        descriptor = os.open(self._names_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
        return reference


def verify(path: Path, head: str | None = None) -> tuple[int, str]:
    """Check a chain; returns its number of lines and its head.

    Raises `AuditBroken`, naming the line, when a line was altered, removed or inserted, or when the chain does
    not end in `head`; `ConfigurationError` when the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigurationError(f"cannot read the audit file {path}: {error.strerror}") from error
    previous = GENESIS
    for number, line in enumerate(lines):
        previous = _verify_line(number, line, previous)
    if head is not None and previous != head:
        raise AuditBroken(f"{path}: the chain ends in {previous}, not in the published head {head}")
    return len(lines), previous


def _verify_line(number: int, line: bytes, previous: str) -> str:
    where = f"line {number + 1}"
    try:
        entry = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise AuditBroken(f"{where} is not JSON: {error}") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("hash"), str):
        raise AuditBroken(f"{where} is not an audit entry")
    if entry.get("n") != number:
        raise AuditBroken(f"{where} says it is number {entry.get('n')}, expected {number}: lines are missing or added")
    if entry.get("prev") != previous:
        raise AuditBroken(f"{where} does not follow the line before it")
    claimed = entry.pop("hash")
    if _digest(entry) != claimed:
        raise AuditBroken(f"{where} was altered: its hash does not match its content")
    return str(claimed)


def _digest(entry: dict[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps(entry)).hexdigest()
