"""The Python interpreters of this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_REPORT = "import sys, sysconfig; print(*sys.version_info[:2], sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"


def find_python(version: str) -> str | None:
    """An interpreter of `version` (as `3.12`) with the usual lock: this one, on the PATH, or of pyenv; else None."""
    wanted = [*version.split("."), "0"]
    for candidate in _candidates(version):
        report = subprocess.run([candidate, "-c", _REPORT], capture_output=True, text=True, check=False)
        if report.returncode == 0 and report.stdout.split() == wanted:
            return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob(f"versions/{version}*/bin/python{version}")))
