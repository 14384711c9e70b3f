"""The file layer of the fault kit."""

import errno
import os
import threading
import time

import pytest

from tests.faults.files import faulty_files


@pytest.fixture
def faults(tmp_path):
    with faulty_files(tmp_path / "state") as layer:
        (tmp_path / "state").mkdir()
        yield layer


@pytest.fixture
def file(tmp_path, faults):
    return tmp_path / "state" / "a.jsonl"


def append(path, data):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return os.write(descriptor, data)
    finally:
        os.close(descriptor)


def code(raised):
    return raised.value.errno


def test_calls_fail_after_a_number_for_a_number_of_times_and_heal(faults, file):
    rule = faults.fail("write", errno.ENOSPC, after=1, times=2)
    append(file, b"one")
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as raised:
            append(file, b"two")
        assert code(raised) == errno.ENOSPC
    append(file, b"four")
    assert file.read_bytes() == b"onefour"
    assert rule.hits == 2
    faults.fail("write")
    faults.heal()
    append(file, b"!")
    assert (faults.calls["write"], faults.injected["write"]) == (5, 2)


def test_only_matching_files_below_the_folder_are_concerned(faults, file, tmp_path):
    faults.fail("write", match="*.jsonl")
    assert append(tmp_path / "outside.jsonl", b"x") == 1
    assert append(file.with_suffix(".txt"), b"x") == 1
    with pytest.raises(OSError, match="jsonl"):
        append(file, b"x")
    assert "write" in faults.calls


def test_a_short_write_takes_the_first_bytes(faults, file):
    faults.short_write(3)
    assert append(file, b"abcdef") == 3
    assert append(file, b"def") == 3
    assert file.read_bytes() == b"abcdef"


def test_a_disk_fills_up(faults, file):
    faults.fill(8)
    assert append(file, b"abcde") == 5
    assert append(file, b"fghij") == 3
    with pytest.raises(OSError, match="jsonl") as raised:
        append(file, b"k")
    assert code(raised) == errno.ENOSPC
    assert file.read_bytes() == b"abcdefgh"


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("unlink", lambda file: file.unlink()),
        ("unlink", lambda file: os.remove(str(file))),
        ("replace", lambda file: file.replace(file.with_name("b"))),
        ("rename", lambda file: file.rename(file.with_name("b"))),
        ("read", lambda file: file.read_bytes()),
        ("read", lambda file: file.read_text()),
        ("open", lambda file: file.read_text()),
        ("create", lambda file: file.write_text("x")),
        ("write", lambda file: file.write_text("x")),
        ("mkdir", lambda file: file.with_name("folder").mkdir()),
        ("truncate", lambda file: os.truncate(file, 1)),
    ],
)
def test_what_pathlib_and_os_do_with_paths_fails(faults, file, operation, act):
    file.write_bytes(b"content")
    faults.fail(operation, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        act(file)
    faults.heal()
    assert file.exists()
    act(file)


@pytest.mark.parametrize("operation", ["read", "fsync", "ftruncate", "pread"])
def test_what_os_does_with_descriptors_fails(faults, file, operation):
    file.write_bytes(b"content")
    faults.fail(operation)
    arguments = {"read": (1,), "pread": (1, 0), "ftruncate": (1,)}.get(operation, ())
    descriptor = os.open(file, os.O_RDWR)
    with pytest.raises(OSError, match="jsonl"):
        getattr(os, operation)(descriptor, *arguments)
    os.close(descriptor)
    assert file.read_bytes() if operation not in {"read", "pread"} else True


def test_fsync_of_an_open_file_object_fails(faults, file):
    faults.fail("fsync")
    with file.open("wb") as opened, pytest.raises(OSError, match="jsonl"):
        os.fsync(opened.fileno())


def test_close_reports_an_error_and_frees_the_descriptor(faults, file):
    faults.fail("close", errno.EDQUOT)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="jsonl"):
        os.close(descriptor)
    faults.heal()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(descriptor)


def test_files_behave_as_usual_without_rules(faults, file):
    with file.open("w", encoding="utf-8", newline="\n") as text:
        text.write("eins\nzwei\n")
    with file.open("r+b") as both:
        both.seek(0, os.SEEK_END)
        both.write(b"drei\n")
        both.seek(0)
        assert both.readline() == b"eins\n"
    with file.open(encoding="utf-8") as text:
        assert list(text) == ["eins\n", "zwei\n", "drei\n"]
    assert len(faults.open_files()) == 0
    with pytest.raises(FileNotFoundError):
        file.with_name("absent").open()
    with pytest.raises(FileExistsError):
        file.open("x")


def test_open_files_are_listed_until_closed(faults, file):
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    assert [path.name for path in faults.open_files()] == ["a.jsonl"]
    os.close(descriptor)
    assert faults.open_files() == []


def test_a_slow_call_waits(faults, file):
    faults.slow("fsync", 0.05)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    began = time.monotonic()
    os.fsync(descriptor)
    os.close(descriptor)
    assert time.monotonic() - began >= 0.05


def test_threads_share_the_rules(faults, file):
    faults.fail("write", after=50, times=50)
    failures = []

    def work():
        for _ in range(25):
            try:
                append(file, b"x")
            except OSError:
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(failures), file.stat().st_size) == (50, 150)


def test_everything_is_put_back(tmp_path):
    before = (os.open, os.write, open)
    with faulty_files(tmp_path) as layer:
        layer.fail("open")
    assert (os.open, os.write, open) == before
    (tmp_path / "x").write_text("works")


def test_an_unknown_operation_is_refused(faults):
    with pytest.raises(ValueError, match="no such operation"):
        faults.fail("explode")
