import pytest

from sidecar.publish.publisher import Envelope
from sidecar.publish.spool import SEGMENT_BYTES, Spool

LIMIT = 4 * SEGMENT_BYTES


def envelope(number, size=100):
    return Envelope("demo", "e1", "engagement.room.v1", 0.0, b'{"n":%d,"pad":"%s"}' % (number, b"x" * size))


def drain(spool):
    numbers = []
    while batch := spool.take(64):
        numbers.extend(numbers_of(batch))
        spool.settle([])
    return numbers


def numbers_of(batch):
    return [int(each.payload.split(b":")[1].split(b",")[0]) for each in batch]


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path, LIMIT)


def test_first_in_first_out_over_many_segments(spool, tmp_path):
    for number in range(60):
        spool.append([envelope(number, 40_000)])
    assert len(list(tmp_path.iterdir())) > 2
    assert drain(spool) == list(range(60))
    assert spool.empty
    assert list(tmp_path.iterdir()) == []


def test_it_outlives_its_process(spool, tmp_path):
    spool.append([envelope(1), envelope(2)])
    again = Spool(tmp_path, LIMIT)
    again.append([envelope(3)])
    assert drain(again) == [1, 2, 3]


def test_a_line_torn_by_a_crash_spoils_nothing(spool, tmp_path):
    spool.append([envelope(1), envelope(2)])
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-20])
    again = Spool(tmp_path, LIMIT)
    again.append([envelope(3)])
    assert drain(again) == [1, 3]


def test_the_oldest_are_dropped_and_listed_when_full(spool):
    dropped = []
    for number in range(200):
        spool.append([envelope(number, 40_000)])
        dropped.extend(spool.losses().envelopes)
    assert spool.size_bytes <= LIMIT
    kept = drain(spool)
    lost = numbers_of(dropped)
    assert lost + kept == list(range(200))
    assert lost


def test_files_are_private(spool, tmp_path):
    spool.append([envelope(1)])
    assert next(tmp_path.iterdir()).stat().st_mode & 0o777 == 0o600
