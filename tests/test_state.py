import errno
import os
from contextlib import contextmanager

import pytest

from sidecar.errors import ConfigurationError, StateInUse
from sidecar.state import StateFolder, check_writable


def test_one_worker_at_a_time(tmp_path):
    with StateFolder(tmp_path):
        with pytest.raises(StateInUse, match="SIDECAR_STATE") as caught, StateFolder(tmp_path):
            pass
        assert caught.value.exit_code == 2
    with StateFolder(tmp_path) as state:
        assert state.spool == tmp_path / "spool"


def test_a_place_that_is_no_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigurationError, match="SIDECAR_STATE"), StateFolder(file / "state"):
        pass


def test_a_folder_of_the_state_is_tried_before_it_is_needed(tmp_path):
    check_writable(tmp_path / "state" / "audit")
    assert list((tmp_path / "state" / "audit").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"SIDECAR_STATE: cannot write to .*: Not a directory"):
        check_writable(tmp_path / "file" / "audit")
    with pytest.raises(ConfigurationError, match=r"SIDECAR_STATE: cannot write to .*: No space left on device"), full():
        check_writable(tmp_path / "state")


@contextmanager
def full():
    """Each fsync finds the disk full."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "fsync", refuse)
        yield
