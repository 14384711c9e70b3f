"""A file layer that fails on demand: `with faulty_files(folder) as faults: faults.fail("write", errno.ENOSPC)`.

It replaces functions of `os` and `open` (which `pathlib` calls), so code must call them as attributes
(`os.write(...)`, not `from os import write`). Only files below the folder are concerned. Thread-safe.
"""

import builtins
import errno
import fnmatch
import io
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from tests.faults.faulty_open import FaultyFile, assemble

OPERATIONS: Final = (
    *("open", "create", "read", "write", "fsync", "ftruncate", "unlink", "replace", "mkdir", "rmdir", "close"),
)
"""What can fail. `create` is an `open` that may make or change a file; `replace` is also `os.rename`."""

_ON_DESCRIPTORS: Final = {
    "read": "read",
    "pread": "read",
    "fsync": "fsync",
    "fdatasync": "fsync",
    "ftruncate": "ftruncate",
}
_ON_PATHS: Final = {
    "unlink": "unlink",
    "remove": "unlink",
    "replace": "replace",
    "rename": "replace",
    "mkdir": "mkdir",
    "rmdir": "rmdir",
    "truncate": "ftruncate",
}
_ALIASES: Final = {**_ON_DESCRIPTORS, **_ON_PATHS, "pwrite": "write"}
_WRITING_FLAGS: Final = os.O_CREAT | os.O_WRONLY | os.O_RDWR | os.O_TRUNC


@dataclass(slots=True)
class Rule:
    """One kind of fault; `hits` counts how often it took effect."""

    operation: str
    match: str
    """A pattern for the name or for the path below the folder, as `fnmatch` reads it."""
    after: int = 0
    """Matching calls that still work."""
    times: int | None = None
    """Calls that it affects; None: all, until `heal`."""
    error: int | None = None
    """The `errno` raised instead of the call."""
    slow_s: float = 0.0
    """How long the call waits first."""
    room: int | None = None
    """Bytes that each write still takes; the rest is left unwritten (a short write)."""
    shared_room: bool = False
    """`room` is what is left for all writes together: a disk that fills up."""
    hits: int = 0

    def takes(self, operation: str, path: Path, folder: Path) -> bool:
        """Whether the rule affects this call; counts it."""
        if operation != self.operation or self.times == 0 or not _matches(self.match, path, folder):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.hits += 1
        return True


@dataclass(slots=True)
class _Effects:
    """What the rules do to one call."""

    error: int | None = None
    slow_s: float = 0.0
    short: list[Rule] = field(default_factory=list)


class FileFaults:
    """The rules in force and the calls counted. Made by `faulty_files`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.calls: Counter[str] = Counter()
        """Calls on files below the folder, by operation, failed ones included."""
        self.injected: Counter[str] = Counter()
        """Calls that raised or wrote less than was asked, by operation."""
        self._rules: list[Rule] = []
        self._lock = threading.RLock()
        self._paths: dict[int, Path] = {}

    def fail(
        self, operation: str, error: int = errno.EIO, *, after: int = 0, times: int | None = None, match: str = "*"
    ) -> Rule:
        """Raise `OSError(error)` from the next calls of an operation, after `after` that work; nothing is done then."""
        return self._add(Rule(_known(operation), match, after, times, error=error))

    def short_write(self, written: int, *, after: int = 0, times: int | None = 1, match: str = "*") -> Rule:
        """Let a write take only its first `written` bytes and return that number."""
        return self._add(Rule("write", match, after, times, room=written))

    def fill(self, free_bytes: int, *, match: str = "*") -> Rule:
        """Let the disk have `free_bytes` left: the write that passes them is short, each later one raises ENOSPC."""
        return self._add(Rule("write", match, room=free_bytes, shared_room=True))

    def slow(
        self, operation: str, seconds: float, *, after: int = 0, times: int | None = None, match: str = "*"
    ) -> Rule:
        """Let calls of an operation wait before they work."""
        return self._add(Rule(_known(operation), match, after, times, slow_s=seconds))

    def heal(self) -> None:
        """Drop all rules: the disk works again."""
        with self._lock:
            self._rules.clear()

    def open_files(self) -> list[Path]:
        """The files below the folder that are open now, one entry for each descriptor."""
        with self._lock:
            return sorted(self._paths.values())

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    # What the replaced functions call.

    def concerned(self, file: Any) -> Path | None:
        """The path behind a path or descriptor when it is at or below the folder."""
        if isinstance(file, int):
            with self._lock:
                return self._paths.get(file)
        try:
            path = Path(os.path.abspath(os.fsdecode(file)))
        except (TypeError, ValueError):
            return None
        real = Path(os.path.realpath(path.parent)) / path.name
        return real if real == self.folder or self.folder in real.parents else None

    def opened(self, descriptor: int, path: Path | None) -> None:
        """Remember which file a descriptor is of."""
        with self._lock:
            self._paths.pop(descriptor, None)
            if path is not None:
                self._paths[descriptor] = path

    def closed(self, descriptor: int) -> None:
        """Forget a descriptor; called before it is really closed, so that another thread may reuse it."""
        with self._lock:
            self._paths.pop(descriptor, None)

    def before(self, operation: str, path: Path) -> None:
        """Count a call, let it wait, and raise what it is to raise."""
        self._apply(self._effects(operation, path), operation, path)

    def write(self, path: Path, data: Any, really: Callable[[Any], int]) -> int:
        """Write `data` with `really`, as far as the rules let it."""
        effects = self._effects("write", path)
        self._apply(effects, "write", path)
        view = memoryview(data).cast("B")
        with self._lock:
            room = min((rule.room for rule in effects.short if rule.room is not None), default=len(view))
            for rule in effects.short:
                if rule.shared_room and rule.room is not None:
                    rule.room -= min(room, len(view))
            if room < len(view):
                self.injected["write"] += 1
        if not room and len(view) and any(rule.shared_room for rule in effects.short):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return really(view[:room])

    def _effects(self, operation: str, path: Path) -> _Effects:
        effects = _Effects()
        with self._lock:
            self.calls[operation] += 1
            for rule in self._rules:
                if rule.takes(operation, path, self.folder):
                    effects.slow_s += rule.slow_s
                    effects.error = effects.error or rule.error
                    if rule.room is not None:
                        effects.short.append(rule)
        return effects

    def _apply(self, effects: _Effects, operation: str, path: Path) -> None:
        if effects.slow_s:
            time.sleep(effects.slow_s)
        if effects.error is not None:
            with self._lock:
                self.injected[operation] += 1
            raise OSError(effects.error, os.strerror(effects.error), str(path))


def _known(operation: str) -> str:
    operation = _ALIASES.get(operation, operation)
    if operation not in OPERATIONS:
        raise ValueError(f"no such operation: {operation!r}; there are {', '.join(OPERATIONS)}")
    return operation


def _matches(pattern: str, path: Path, folder: Path) -> bool:
    below = path.relative_to(folder).as_posix()
    return fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(below, pattern)


@contextmanager
def faulty_files(folder: Path) -> Iterator[FileFaults]:
    """Until the block ends, file operations below `folder` fail as set on the yielded `FileFaults`."""
    faults = FileFaults(folder)
    with ExitStack() as stack:
        for name, replacement in _replacements(faults).items():
            stack.enter_context(patch.object(os, name, replacement))
        opener = _open(faults, io.open)
        stack.enter_context(patch.object(io, "open", opener))
        stack.enter_context(patch.object(builtins, "open", opener))
        yield faults


def _replacements(faults: FileFaults) -> dict[str, Callable[..., Any]]:
    simple = {name: _wrapped(faults, name, operation) for name, operation in (_ON_DESCRIPTORS | _ON_PATHS).items()}
    return {
        **simple,
        "open": _os_open(faults, os.open),
        "close": _os_close(faults, os.close),
        "write": _os_write(faults, os.write),
        "pwrite": _os_pwrite(faults, os.pwrite),
        "writev": _os_writev(faults),
    }


def _wrapped(faults: FileFaults, name: str, operation: str) -> Callable[..., Any]:
    really = getattr(os, name)

    def call(file: Any, *arguments: Any, **named: Any) -> Any:
        path = faults.concerned(_in_folder(faults, file, named.get("dir_fd") or named.get("src_dir_fd")))
        if path is not None:
            faults.before(operation, path)
        return really(file, *arguments, **named)

    return call


def _in_folder(faults: FileFaults, file: Any, directory: int | None) -> Any:
    """A path relative to an open directory as a path."""
    base = None if directory is None else faults.concerned(directory)
    return file if base is None else base / os.fsdecode(file)


def _os_open(faults: FileFaults, really: Callable[..., int]) -> Callable[..., int]:
    def call(file: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        path = faults.concerned(_in_folder(faults, file, dir_fd))
        if path is not None:
            faults.before("open", path)
            if flags & _WRITING_FLAGS:
                faults.before("create", path)
        descriptor = really(file, flags, mode, dir_fd=dir_fd)
        faults.opened(descriptor, path)
        return descriptor

    return call


def _os_close(faults: FileFaults, really: Callable[[int], None]) -> Callable[[int], None]:
    def call(descriptor: int) -> None:
        path = faults.concerned(descriptor)
        faults.closed(descriptor)
        really(descriptor)
        if path is not None:
            faults.before("close", path)  # afterwards: Linux frees the descriptor also where it reports an error

    return call


def _os_write(faults: FileFaults, really: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
    def call(descriptor: int, data: Any) -> int:
        path = faults.concerned(descriptor)
        if path is None:
            return really(descriptor, data)
        return faults.write(path, data, lambda part: really(descriptor, part))

    return call


def _os_pwrite(faults: FileFaults, really: Callable[[int, Any, int], int]) -> Callable[[int, Any, int], int]:
    def call(descriptor: int, data: Any, offset: int) -> int:
        path = faults.concerned(descriptor)
        if path is None:
            return really(descriptor, data, offset)
        return faults.write(path, data, lambda part: really(descriptor, part, offset))

    return call


def _os_writev(faults: FileFaults) -> Callable[[int, Any], int]:
    really = os.writev

    def call(descriptor: int, buffers: Any) -> int:
        path = faults.concerned(descriptor)
        if path is None:
            return really(descriptor, buffers)
        return faults.write(path, b"".join(buffers), lambda part: really(descriptor, [part]))

    return call


def _open(faults: FileFaults, really: Callable[..., Any]) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        path = faults.concerned(file)
        if path is None:
            return really(file, mode, *arguments, **named)
        faults.before("open", path)
        if set(mode) & set("wax+"):
            faults.before("create", path)
        return assemble(
            lambda raw_mode, **raw: FaultyFile(faults, path, file, raw_mode, **raw), mode, *arguments, **named
        )

    return call
