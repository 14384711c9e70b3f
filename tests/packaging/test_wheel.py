"""The wheel, built from the source archive, works in an empty environment of each Python, away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.media_files import write_recording
from tests.packaging.pythons import find_python

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLAIMED = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith("Programming Language")]
"""The versions that the package says it supports."""
NEXT = "3.15"
LARGEST_BYTES = 100_000_000
"""What PyPI takes."""


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Without what would let the checkout or its settings through."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SIDECAR_"))}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    done = run(sys.executable, "-c", build, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation")
    done = run(*pip, "--wheel-dir", folder, sdist, cwd=folder)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The versions of the lock file, without hashes: pip has none for a wheel built here."""
    lines = (ROOT / "requirements" / "cpu.txt").read_text().splitlines()
    path = tmp_path_factory.mktemp("lock") / "constraints.txt"
    path.write_text("\n".join(line.removesuffix("\\").strip() for line in lines if not line.startswith(" ")))
    return path


def test_the_source_archive_has_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "models/manifest.toml", "models/results/face.json"} <= names


def test_the_wheel_holds_the_pack_and_no_training_code(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        manifest = tomllib.loads(archive.read("sidecar/pack/manifest.toml").decode())
    files = {each["file"] for model in manifest["model"] for each in (model, *model.get("files", ()))}
    assert {f"sidecar/pack/{file}" for file in files} <= names
    assert {f"sidecar/pack/results/{each}.json" for each in ("face", "voice", "text")} <= names
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"sidecar"}
    assert wheel.stat().st_size < LARGEST_BYTES


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    kept = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "sidecar").rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".md"}
    }
    assert kept <= names


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Path]:
    """Where an environment goes; removed afterwards, since pytest keeps its folders and this one takes 0.7 GB."""
    yield tmp_path / "venv"
    shutil.rmtree(tmp_path / "venv", ignore_errors=True)


@pytest.mark.parametrize("version", [version for version in (*CLAIMED, NEXT) if find_python(version)])
def test_the_wheel_works_in_an_empty_environment(
    wheel: Path, constraints: Path, environment: Path, tmp_path: Path, version: str
) -> None:
    python = find_python(version)
    assert python is not None
    assert run(python, "-m", "venv", "--without-pip", environment, cwd=tmp_path).returncode == 0
    place = environment / "bin"
    pip = (sys.executable, "-m", "pip", "--python", place / "python", "install", "-q", "--no-compile")
    installed = run(*pip, "--prefer-binary", "-c", constraints, f"{wheel}[cpu]", cwd=tmp_path)
    if installed.returncode and version not in CLAIMED:
        pytest.skip(f"not everything can be installed on Python {version}, which is not claimed: {installed.stderr}")
    assert installed.returncode == 0, installed.stderr

    verified = run(place / "sidecar", "models", "verify", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "sidecar/pack/weights" in verified.stdout

    clip = write_recording(tmp_path / "clip.mp4", 2.0)
    consent = ("analyze", clip, "--consent", "face,voice")
    analyzed = run(place / "sidecar", *consent, cwd=tmp_path, SIDECAR_STATE=str(tmp_path / "state"))
    assert analyzed.returncode == 0, analyzed.stderr
    changes = [json.loads(line)["data"].get("change") for line in analyzed.stdout.splitlines()]
    assert (changes[0], changes[-1]) == ("attached", "detached")
    (audit,) = (tmp_path / "state" / "audit").glob("*/*.jsonl")
    assert run(place / "sidecar", "audit", "verify", audit, cwd=tmp_path).returncode == 0

    plotted = run(place / "sidecar", *consent, "--plot", "p.png", cwd=tmp_path)
    assert plotted.returncode == 2
    assert "pip install" in plotted.stderr
