"""Writing to disk so that a failure leaves whole records: append-only files and whole-file replacement."""

import os
from pathlib import Path


class AppendOnlyFile:
    """A file to which records are appended, each whole or not at all. Blocking.

    Short writes are continued. After a failure the file is cut back to its last whole record; where the disk refuses
    even that, the cut is made before the next append, so that nothing is ever written behind a torn record.
    """

    def __init__(self, path: Path, *, exclusive: bool = False, mode: int = 0o600) -> None:
        """`exclusive`: the file must not exist yet. Raises `OSError`."""
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | (os.O_EXCL if exclusive else 0)
        self._descriptor = os.open(path, flags, mode)
        try:
            self.size = os.fstat(self._descriptor).st_size
        except OSError:
            os.close(self._descriptor)
            if exclusive:
                path.unlink(missing_ok=True)  # or the next attempt would find it
            raise
        """Bytes of whole records."""
        self._torn = False

    def append(self, data: bytes) -> None:
        """Write one record behind the others. Raises `OSError`; then nothing of it stays in the file."""
        if self._torn:
            self.cut(self.size)
        written = 0
        try:
            while written < len(data):
                count = os.write(self._descriptor, data[written:])
                if count == 0:
                    raise OSError(f"{self.path.name}: nothing was written")
                written += count
        except OSError:
            self._torn = True
            self._try_to_cut()
            raise
        self.size += len(data)

    def cut(self, size: int) -> None:
        """Shorten the file to `size` bytes. Raises `OSError`."""
        os.ftruncate(self._descriptor, size)
        self.size = size
        self._torn = False

    def sync(self) -> None:
        """Force what was written to the disk. Raises `OSError`."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Idempotent. Makes one last attempt to remove a torn record."""
        if self._descriptor < 0:
            return
        if self._torn:
            self._try_to_cut()
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _try_to_cut(self) -> None:
        try:
            self.cut(self.size)
        except OSError:
            self._torn = True


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a whole file, or leave the one that is there as it is. Raises `OSError`."""
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        try:
            written = 0
            while written < len(data):
                count = os.write(descriptor, data[written:])
                if count == 0:
                    raise OSError(f"{path.name}: nothing was written")
                written += count
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
