import pytest

from sidecar.errors import ConfigurationError, StateInUse
from sidecar.state import StateFolder


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
