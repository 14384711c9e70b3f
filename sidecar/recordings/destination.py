"""Where the results of an analysis go: a file that appears when it is complete, or a device or stream as it is."""

import asyncio
import errno
import fcntl
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.errors import ConfigurationError

_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/(stdin|stdout|stderr)")
_STANDARD: Final = {"stdin": 0, "stdout": 1, "stderr": 2}
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Destination:
    """A place that was found to be writable before the work began."""

    label: str
    """The option and what it names, for messages."""
    path: Path
    """The file itself, where the option named a link to it."""
    descriptor: int | None = None
    """An open stream of this process, such as `/dev/stdout`."""
    is_file: bool = True
    """Written beside the target and renamed. False for a device, a pipe or a stream, which are written as they are."""

    def failed(self, error: OSError) -> ConfigurationError:
        """The error for the operator."""
        return ConfigurationError(f"{self.label}: cannot be written: {error.strerror or type(error).__name__}")


def check_destination(option: str, path: Path) -> Destination:
    """Find out what `path` is and whether it can be written, without changing it.

    Raises `ConfigurationError` for a folder, a missing folder or a place that this user may not write.
    """
    label = f"{option} {path}"
    if (stream := _DESCRIPTOR.fullmatch(os.fspath(path))) is not None:
        number = int(stream[1]) if stream[1] else _STANDARD[stream[2]]
        return open_stream(label, number)
    try:
        mode: int | None = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise Destination(label, path).failed(error) from error
    if mode is not None and stat.S_ISDIR(mode):
        raise ConfigurationError(f"{label}: this is a folder; name a file in it")
    if mode is not None and not os.access(path, os.W_OK):
        raise ConfigurationError(f"{label}: this user may not write it")
    if mode is not None and not stat.S_ISREG(mode):
        return Destination(label, path, is_file=False)
    found = Destination(label, Path(os.path.realpath(path)))
    if not found.path.parent.is_dir():
        raise ConfigurationError(f"{label}: there is no folder {found.path.parent}; create it first")
    try:
        with _Partial(found.path):
            pass
    except OSError as error:
        raise found.failed(error) from error
    return found


def open_stream(label: str, descriptor: int) -> Destination:
    """An open stream of this process. Raises `ConfigurationError` where it is closed or only for reading."""
    stream = Destination(label, Path(f"/dev/fd/{descriptor}"), descriptor=descriptor, is_file=False)
    try:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    except OSError as error:
        raise stream.failed(error) from error
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise ConfigurationError(f"{label}: is not open for writing; name a file with --out")
    return stream


def same_file(one: Path, other: Path) -> bool:
    """Whether two names mean one file: through links, `.` and `..`, or the letter case of a lenient file system."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:  # at least one of them is not there
        return False


class Writer:
    """An open destination; close it with `keep` or `discard`. Blocking, but for `open`."""

    def __init__(self, destination: Destination, partial: "_Partial | None", descriptor: int) -> None:
        self._destination = destination
        self._partial = partial
        self._descriptor = descriptor
        self._size = 0

    @classmethod
    async def open(cls, destination: Destination) -> "Writer":
        """Create the file beside its target, or open the device; waits until a named pipe has a reader.

        Raises `ConfigurationError`.
        """
        try:
            if destination.descriptor is not None:
                return cls(destination, None, os.dup(destination.descriptor))
            if destination.is_file:
                partial = _Partial(destination.path)
                return cls(destination, partial, partial.descriptor)
            return cls(destination, None, await _open_device(destination.path))
        except OSError as error:
            raise destination.failed(error) from error

    @property
    def size(self) -> int:
        """Bytes of the whole records that were written."""
        return self._size

    def write(self, record: bytes) -> None:
        """Write one record. Raises `OSError`; then a file holds the records before it."""
        written = 0
        while written < len(record):
            written += os.write(self._descriptor, record[written:])
        self._size += written

    def keep(self) -> None:
        """Give a file its name; a record that was cut off is removed. Raises `OSError`."""
        if self._partial is not None:
            os.ftruncate(self._descriptor, self._size)
            os.fsync(self._descriptor)
            self._partial.keep()
        self._close()

    def discard(self) -> None:
        """Close and leave the target as it was. Idempotent."""
        if self._partial is not None:
            self._partial.discard()
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class _Partial:
    """A hidden file beside `target`, open for writing, of the mode that the target has or would get."""

    def __init__(self, target: Path) -> None:
        """Raises `OSError`."""
        self._target = target
        self._path: Path | None = target.with_name(f".sidecar-{secrets.token_hex(8)}.partial")
        self.descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # there is none yet, or it belongs to somebody else
            os.fchmod(self.descriptor, stat.S_IMODE(target.stat().st_mode))

    def __enter__(self) -> None:
        """For a trial: it is removed again."""

    def __exit__(self, *_: object) -> None:
        self.discard()
        os.close(self.descriptor)

    def keep(self) -> None:
        if self._path is not None:
            os.replace(self._path, self._target)
            self._path = None

    def discard(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


async def _open_device(path: Path) -> int:
    """A descriptor for writing. Raises `OSError`."""
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            await asyncio.sleep(_POLL_S)  # a named pipe that nothing reads yet; waiting in `open` would be for ever
        else:
            os.set_blocking(descriptor, True)
            return descriptor
