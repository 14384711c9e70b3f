import io
import os

import pytest

from sidecar.errors import ConfigurationError
from sidecar.publish.json_lines import JsonLinesSink
from sidecar.publish.publisher import Envelope

EVENT = Envelope("demo", "e1", "engagement.room.v1", 0.0, b'{"n":1}')


def test_a_line_for_each_event_at_once():
    file = io.BytesIO()
    sink = JsonLinesSink(file)
    sink.put(EVENT)
    assert file.getvalue() == b'{"n":1}\n'


def test_a_full_disk_is_a_clear_error_and_stays_silent_afterwards():
    with open("/dev/full", "wb") as file:
        with pytest.raises(ConfigurationError, match="No space left on device"):
            JsonLinesSink(file).put(EVENT)
        file.flush()  # as Python does at its end


def test_a_reader_that_has_gone_is_no_error_of_ours():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as file:
        with pytest.raises(BrokenPipeError):
            JsonLinesSink(file).put(EVENT)
        file.flush()


def test_a_closed_file_is_a_clear_error(tmp_path):
    with (tmp_path / "events.jsonl").open("wb") as file:
        os.close(file.fileno())
        with pytest.raises(ConfigurationError, match="cannot write events"):
            JsonLinesSink(file).put(EVENT)
