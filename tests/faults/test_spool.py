"""The spool on a disk that fails: whichever call fails, nothing is lost uncounted, and it works again afterwards."""

import errno
import random

import pytest

from sidecar.errors import ConfigurationError
from sidecar.publish.publisher import Envelope
from sidecar.publish.spool import SEGMENT_BYTES, Spool
from tests.faults.files import faulty_files

LIMIT = 4 * SEGMENT_BYTES
SMALL = 1 << 20
KB = 1000


def envelope(number, size=100):
    return Envelope("demo", "e1", "engagement.room.v1", 0.0, b"%d %s" % (number, b"x" * size))


def numbers(envelopes):
    return [int(each.payload.split()[0]) for each in envelopes]


def drained(spool):
    found = []
    while batch := spool.take(64):
        found += numbers(batch)
        spool.settle([])
    return found


def refused():
    return pytest.raises(OSError, match=r"^\[Errno \d+\]")


@pytest.fixture
def faults(tmp_path):
    with faulty_files(tmp_path) as injected:
        yield injected


@pytest.fixture
def spool(tmp_path, faults):
    made = Spool(tmp_path, LIMIT)
    yield made
    made.close()


@pytest.mark.parametrize("operation", ["open", "write", "fsync"])
@pytest.mark.parametrize("before", [0, 2])
def test_after_an_append_that_failed_it_works_again(spool, faults, tmp_path, operation, before):
    for number in range(before):
        spool.append([envelope(number)])
    if operation == "open":
        spool.close()
    faults.fail(operation, errno.ENOSPC, times=1)
    with refused():
        spool.append([envelope(before)])
    assert spool.empty == (before == 0)
    assert spool.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    spool.append([envelope(before)])
    assert spool.losses().envelopes == []
    assert numbers_of(tmp_path) == list(range(before + 1))
    assert drained(spool) == list(range(before + 1))


def numbers_of(folder):
    """What another process would find."""
    again = Spool(folder, LIMIT)
    found = []
    while again._segments:
        found += numbers(again._read(again._segments.popleft()))
    return found


def test_a_short_write_is_finished(spool, faults):
    faults.short_write(10)
    spool.append([envelope(1)])
    assert drained(spool) == [1]


def test_a_disk_that_fills_up_in_a_record(spool, faults, tmp_path):
    spool.append([envelope(1)])
    faults.fill(50)
    for _ in range(3):
        with refused():
            spool.append([envelope(2)])
    faults.heal()
    spool.append([envelope(2)])
    assert numbers_of(tmp_path) == [1, 2]
    assert drained(spool) == [1, 2]


def test_a_record_that_cannot_be_taken_back_does_no_harm(spool, faults, tmp_path):
    spool.append([envelope(1)])
    faults.fail("fsync", times=1)
    faults.fail("ftruncate")
    with refused():
        spool.append([envelope(2)])
    faults.heal()
    spool.append([envelope(2)])
    assert list(dict.fromkeys(numbers_of(tmp_path))) == [1, 2]
    assert drained(spool) == [1, 2]


def test_what_was_dropped_by_an_append_that_failed_is_counted(spool, faults):
    number = 0
    while spool.size_bytes < LIMIT - 100 * KB:
        spool.append([envelope(number, 50 * KB)])
        number += 1
    faults.fail("write", errno.ENOSPC)
    with refused():
        spool.append([envelope(number, 200 * KB)])
    lost = numbers(spool.losses().envelopes)
    faults.heal()
    assert lost
    assert lost + drained(spool) == list(range(number))


def test_a_segment_that_cannot_be_read_is_counted_and_passed(spool, faults, tmp_path):
    fill_segments(spool, 3)
    faults.fail("open", errno.EIO, match=oldest(tmp_path).name)
    again = Spool(tmp_path, LIMIT)
    for _ in range(2):  # it may pass
        with refused():
            again.take(64)
    found = drained(again)
    assert again.losses().damaged_segments == 1
    assert found
    assert found == list(range(found[0], found[-1] + 1))
    assert again.empty


def test_events_of_this_process_in_a_segment_that_cannot_be_read_are_counted(spool, faults, tmp_path):
    spool.append([envelope(1)])
    spool.append([envelope(2)])
    spool._head = None  # as after a segment that was read to its end
    faults.fail("open", errno.EIO, match=oldest(tmp_path).name)
    for _ in range(2):
        with refused():
            spool.take(64)
    assert spool.take(64) == []
    losses = spool.losses()
    assert (losses.damaged_segments, losses.unread) == (1, 2)


def test_a_failure_to_read_that_passes_loses_nothing(spool, faults, tmp_path):
    spool.append([envelope(1)])
    again = Spool(tmp_path, LIMIT)
    faults.fail("open", errno.EMFILE, times=1)
    with refused():
        again.take(64)
    assert drained(again) == [1]


def test_a_segment_that_cannot_be_removed_stops_nothing(spool, faults, tmp_path):
    fill_segments(spool, 3)
    faults.fail("unlink")
    found = drained(spool)
    assert found == list(range(len(found)))
    assert spool.empty
    assert spool.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir()) > 0
    faults.heal()
    spool.append([envelope(1)])
    assert drained(spool) == [1]
    assert list(tmp_path.iterdir()) == []


def test_the_limit_holds_where_nothing_can_be_removed(spool, faults, tmp_path):
    faults.fail("unlink")
    kept = 0
    while spool.size_bytes < LIMIT - 100 * KB:
        spool.append([envelope(kept, 50 * KB)])
        kept += 1
    for _ in range(2):
        with refused():
            spool.append([envelope(kept, 100 * KB)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= LIMIT
    assert spool.losses().envelopes == []
    assert drained(spool) == list(range(kept))
    with refused():
        spool.append([envelope(kept, 100 * KB)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= LIMIT


def test_a_batch_whose_segment_is_dropped_is_lost_only_if_it_was_not_delivered(tmp_path):
    for delivered in (True, False):
        spool = Spool(tmp_path / str(delivered), SMALL)
        spool.append([envelope(0, 50 * KB), envelope(1, 50 * KB)])
        batch = spool.take(1)
        number = 2
        while not spool.losses().envelopes:
            spool.append([envelope(number, 50 * KB)])
            number += 1
        spool.settle([] if delivered else batch)
        assert numbers(spool.losses().envelopes) == ([] if delivered else [0])
        assert spool.take(1)[0].payload[:2] != b"0 "
        spool.close()


def test_a_batch_that_was_not_settled_is_given_again(spool):
    spool.append([envelope(1), envelope(2), envelope(3)])
    assert numbers(spool.take(2)) == numbers(spool.take(64)) == [1, 2]
    spool.settle(spool.take(2)[1:])
    assert drained(spool) == [2, 3]


def test_the_newest_segment_keeps_what_it_had_when_all_others_are_dropped(tmp_path):
    spool = Spool(tmp_path, SMALL)
    spool.append([envelope(0, 100)])
    for number in range(1, 20):
        spool.append([envelope(number, 60 * KB)])
    spool.append([envelope(20, 500 * KB)])
    spool.append([envelope(21, 100)])
    lost = numbers(spool.losses().envelopes)
    assert lost + drained(spool) == list(range(22))


def test_foreign_files_are_left_alone(tmp_path, caplog):
    (tmp_path / "x.jsonl").write_text("x")
    (tmp_path / "1.jsonl").mkdir()
    (tmp_path / "000000000002.jsonl").symlink_to("/dev/zero")
    (tmp_path / "000000000003.jsonl").write_bytes(bytes(range(256)) * 4000)
    (tmp_path / "000000000004.jsonl").write_bytes(b'{"room": 1}\n\xff\xfe\n[[[[\n{}\n')
    (tmp_path / "000000000005.jsonl").write_bytes(b"")
    spool = Spool(tmp_path, LIMIT)
    spool.append([envelope(1)])
    assert drained(spool) == [1]
    losses = spool.losses()
    assert losses.damaged_lines >= 4
    assert losses.damaged_segments == 0
    assert spool.empty
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000002.jsonl", "1.jsonl", "x.jsonl"]
    assert len(caplog.records) < 10


def test_a_file_larger_than_any_segment_is_not_read(tmp_path):
    with (tmp_path / "000000000001.jsonl").open("wb") as file:
        file.truncate(1 << 40)
    spool = Spool(tmp_path, LIMIT)
    spool.append([envelope(1)])
    assert drained(spool) == [1]
    assert spool.losses().damaged_segments == 1


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(ConfigurationError, match="SIDECAR_STATE"):
        Spool(tmp_path / "spool", LIMIT)


@pytest.mark.parametrize("seed", range(12))
def test_any_mixture_of_faults(tmp_path, seed):
    """Each event is delivered in order, waiting or counted as lost, whatever failed when."""
    generator = random.Random(seed)
    spool, kept, delivered, lost = Spool(tmp_path, SMALL), [], [], []
    with faulty_files(tmp_path) as faults:
        for number in range(100):
            faults.heal()
            if generator.random() < 0.4:
                operation = generator.choice(["open", "write", "fsync", "ftruncate", "unlink", "close"])
                faults.fail(operation, errno.EMFILE, after=generator.randrange(2), times=generator.randrange(1, 3))
            if generator.random() < 0.2:
                faults.fill(generator.randrange(100 * KB))
            try:
                spool.append([envelope(number, generator.choice([100, 20 * KB, 90 * KB]))])
                kept.append(number)
            except OSError:
                pass
            if generator.random() < 0.5:
                delivered += deliver(spool, generator)
            lost += numbers(spool.losses().envelopes)
        faults.heal()
        if generator.random() < 0.5:
            spool.close()
            spool = Spool(tmp_path, SMALL)
        delivered += drained(spool)
        lost += numbers(spool.losses().envelopes)
    assert sorted({*delivered, *lost}) == sorted({*kept, *delivered})
    assert list(dict.fromkeys(delivered)) == sorted(set(delivered))
    assert not set(lost) & set(delivered)
    assert len(lost) == len(set(lost))


def deliver(spool, generator):
    try:
        batch = spool.take(generator.randrange(1, 4))
    except OSError:
        return []
    done = generator.randrange(len(batch) + 1)
    spool.settle(batch[done:])
    return numbers(batch[:done])


def oldest(folder):
    return min(folder.iterdir())


def fill_segments(spool, count):
    number = 0
    while spool.size_bytes < count * spool._segment_bytes:
        spool.append([envelope(number, 50 * KB)])
        number += 1
