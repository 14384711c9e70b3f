import errno
import os

import pytest

from sidecar.files import AppendOnlyFile, replace_file


def fail_write(monkeypatch, after, code=errno.ENOSPC):
    """The next write takes `after` bytes, the one behind it fails."""
    real, calls = os.write, []

    def write(descriptor, data):
        calls.append(len(data))
        if len(calls) == 1 and after:
            return real(descriptor, data[:after])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", write)


def test_short_writes_are_continued(tmp_path, monkeypatch):
    file = AppendOnlyFile(tmp_path / "log")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    file.append(b"a whole record\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"a whole record\n"
    assert file.size == 15


def test_a_failed_write_leaves_whole_records(tmp_path, monkeypatch):
    file = AppendOnlyFile(tmp_path / "log")
    file.append(b"first\n")
    with monkeypatch.context() as patch:
        fail_write(patch, after=4)
        with pytest.raises(OSError, match="No space"):
            file.append(b"second\n")
    assert (tmp_path / "log").read_bytes() == b"first\n"
    file.append(b"third\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"first\nthird\n"


def test_a_torn_record_that_could_not_be_cut_is_cut_before_the_next(tmp_path, monkeypatch):
    file = AppendOnlyFile(tmp_path / "log")
    file.append(b"first\n")

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        fail_write(patch, after=4)
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError, match="No space"):
            file.append(b"second\n")
        assert (tmp_path / "log").read_bytes() == b"first\nseco"
    file.append(b"third\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"first\nthird\n"


def test_an_exclusive_file_must_be_new(tmp_path):
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(FileExistsError):
        AppendOnlyFile(tmp_path / "log", exclusive=True)


def test_a_replacement_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "weeks.json"
    replace_file(target, b"old")
    with monkeypatch.context() as patch:
        fail_write(patch, after=1)
        with pytest.raises(OSError, match="No space"):
            replace_file(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weeks.json"]
    replace_file(target, b"new")
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_opened_whole_can_be_opened_again(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", refuse)
        with pytest.raises(OSError, match="Input/output"):
            AppendOnlyFile(tmp_path / "log", exclusive=True)
    AppendOnlyFile(tmp_path / "log", exclusive=True).close()
