"""What `open` returns for a file that can fail: the usual layers on a raw file that asks the rules first."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Rules(Protocol):
    """The part of `FileFaults` that an open file needs."""

    def opened(self, descriptor: int, path: Path | None) -> None: ...
    def closed(self, descriptor: int) -> None: ...
    def before(self, operation: str, path: Path) -> None: ...
    def write(self, path: Path, data: Any, really: Callable[[Any], int]) -> int: ...


class FaultyFile(io.FileIO):
    """A raw file whose calls count and fail as `os.read`, `os.write` and so on would."""

    def __init__(self, faults: Rules, path: Path, file: Any, mode: str, **named: Any) -> None:
        self._faults = faults
        self._path = path
        super().__init__(file, mode, **named)
        faults.opened(self.fileno(), path)

    def write(self, data: Any) -> int:
        return self._faults.write(self._path, data, super().write)

    def readinto(self, buffer: Any) -> int:
        self._faults.before("read", self._path)
        return super().readinto(buffer)

    def read(self, size: int = -1) -> bytes:
        self._faults.before("read", self._path)
        return super().read(size)

    def readall(self) -> bytes:
        self._faults.before("read", self._path)
        return super().readall()

    def truncate(self, size: int | None = None) -> int:
        self._faults.before("ftruncate", self._path)
        return super().truncate(size)

    def close(self) -> None:
        if not self.closed and self.closefd:
            self._faults.closed(self.fileno())
        super().close()


def assemble(  # noqa: PLR0917 - the arguments of `open`
    make_raw: Callable[..., FaultyFile],
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """The layers that `open` puts on a raw file, with its arguments."""
    text = "b" not in mode
    raw = make_raw(mode.replace("b", "").replace("t", ""), closefd=closefd, opener=opener)
    try:
        if buffering == 0:
            if text:
                raise ValueError("can't have unbuffered text I/O")
            return raw
        layer = io.BufferedRandom if "+" in mode else io.BufferedReader if "r" in mode else io.BufferedWriter
        buffer = layer(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
        return io.TextIOWrapper(buffer, encoding, errors, newline, buffering == 1) if text else buffer
    except BaseException:
        raw.close()
        raise
