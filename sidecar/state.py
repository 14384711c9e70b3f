"""The folder of audit and spool, which belongs to one worker at a time."""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sidecar.errors import ConfigurationError, StateInUse

_TRIAL_BYTES: Final = 4096


class StateFolder:
    """`SIDECAR_STATE`, locked from enter to exit; a crash lets go of the lock too."""

    def __init__(self, path: Path) -> None:
        self.audit = path / "audit"
        self.spool = path / "spool"
        self._path = path
        self._lock = -1

    def __enter__(self) -> Self:
        """Raises `StateInUse` where another worker holds it, `ConfigurationError` where it cannot be written."""
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise StateInUse(
                f"{self._path} is in use by another worker; give each its own folder in SIDECAR_STATE"
            ) from error
        except OSError as error:
            self._close()
            raise ConfigurationError(f"SIDECAR_STATE: cannot write to {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        with suppress(OSError):
            os.close(self._lock)
        self._lock = -1


def check_writable(folder: Path) -> None:
    """Create `folder`, which belongs to the state, and try to write in it. Raises `ConfigurationError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(_TRIAL_BYTES))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        raise ConfigurationError(f"SIDECAR_STATE: cannot write to {folder}: {error.strerror}") from error
