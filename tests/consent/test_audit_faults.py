"""The audit on a disk that fails: the chain stays whole, nothing is granted, and what waited is written later."""

import errno
import json
import os

import pytest

from sidecar.consent.audit import AuditChain, verify
from sidecar.consent.gate import AUDIT_UNAVAILABLE, ConsentGate
from sidecar.errors import AuditUnavailable
from sidecar.telemetry import Telemetry
from sidecar.types import Participant, ParticipantKind
from tests.fakes.clock import VirtualClock


def person(consent):
    return Participant("anna", ParticipantKind.STANDARD, {"engagement.consent": consent})


def value(metric):
    return metric._value.get()


@pytest.fixture
def telemetry():
    return Telemetry()


@pytest.fixture
def chain(tmp_path, telemetry):
    chain = AuditChain(tmp_path, "room", "e1", VirtualClock(), telemetry)
    chain.record("attached")
    yield chain
    chain.close()


def kinds(chain):
    return [json.loads(line)["kind"] for line in chain.path.read_bytes().splitlines()]


def refuse_writes(patch, after_bytes=0, code=errno.ENOSPC):
    """From the second write on, or at once for `after_bytes` 0, the disk is full."""
    real = os.write
    left = [after_bytes]

    def write(descriptor, data):
        if left[0]:
            taken, left[0] = left[0], 0
            return real(descriptor, data[:taken])
        raise OSError(code, os.strerror(code))

    patch.setattr(os, "write", write)


@pytest.mark.parametrize("after_bytes", [0, 17])
def test_a_full_disk_leaves_whole_lines_and_what_waited_is_written_later(
    chain, telemetry, monkeypatch, after_bytes, caplog
):
    chain.record("granted", identity="anna", modality="face", permit="p0")
    with monkeypatch.context() as patch:
        refuse_writes(patch, after_bytes)
        chain.record("inferred", identity="anna", modality="face", permit="p0", count=3)
        chain.record("revoked", identity="anna", modality="face", permit="p0")
        assert chain.failing
        assert value(telemetry.audit_failing) == 1
        assert verify(chain.path, chain.head).lines == 2
        with pytest.raises(AuditUnavailable, match="cannot be written"):
            chain.require("granted", identity="anna", modality="voice", permit="p1")
    assert chain.retry()
    chain.close()
    assert kinds(chain) == ["attached", "granted", "inferred", "revoked"]
    assert verify(chain.path, chain.head) == (4, chain.head, False)
    assert value(telemetry.audit_failing) == 0
    assert caplog.text.count("nothing is granted") == 1, "said once, not for each line"


def test_a_failed_fsync_stops_granting_until_one_succeeds(chain, telemetry, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        chain.record("tap_opened", identity="anna", modality="face", permit="p0")
        chain._sync.result()
        with pytest.raises(AuditUnavailable, match="cannot be written"):
            chain.require("granted", identity="anna", modality="face", permit="p1")
        chain._sync.result()
    assert not chain.retry(), "the retry begins with a new fsync in the thread"
    chain._sync.result()
    assert chain.retry()
    chain.require("granted", identity="anna", modality="face", permit="p2")
    chain.close()
    lines = [json.loads(line) for line in chain.path.read_bytes().splitlines()]
    assert [line["n"] for line in lines] == [0, 1, 2]
    assert verify(chain.path, chain.head).lines == 3


def test_lines_that_do_not_fit_into_memory_leave_a_gap_that_says_how_many(tmp_path, telemetry, monkeypatch):
    monkeypatch.setattr("sidecar.consent.audit._PENDING", 3)
    chain = AuditChain(tmp_path, "room", "e1", VirtualClock(), telemetry)
    with monkeypatch.context() as patch:
        refuse_writes(patch)
        for _ in range(5):
            chain.record("tap_opened", identity="anna", modality="face")
    assert value(telemetry.dropped.labels("audit", "disk")) == 2
    assert chain.retry()
    chain.close()
    first = json.loads(chain.path.read_bytes().splitlines()[0])
    assert (first["kind"], first["count"]) == ("gap", 2)
    assert verify(chain.path, chain.head).lines == 4


def test_the_gate_revokes_on_a_full_disk_but_grants_nothing(chain, telemetry, monkeypatch):
    gate = ConsentGate(chain, telemetry)
    [permit] = gate.declare(person("face")).granted
    with monkeypatch.context() as patch:
        refuse_writes(patch)
        change = gate.declare(person("voice"))
        assert not permit.live
        assert change.granted == ()
        assert change.reason == AUDIT_UNAVAILABLE
        assert gate.withdraw("anna").revoked == ()
    for modality in ("face", "voice"):
        assert value(telemetry.participants.labels(modality)) == 0
    assert [each.modality for each in gate.declare(person("voice")).granted] == ["voice"]
    gate.withdraw("anna")
    chain.close()
    assert kinds(chain) == ["attached", "granted", "revoked", "granted", "revoked"]


def test_a_disk_that_is_full_from_the_start_is_no_error(tmp_path, telemetry, monkeypatch):
    with monkeypatch.context() as patch:
        refuse_writes(patch)
        chain = AuditChain(tmp_path, "room", "e1", VirtualClock(), telemetry)
        chain.record("attached")
        assert chain.failing
    assert chain.retry()
    chain.close()
    assert kinds(chain) == ["attached"]
    names = [json.loads(line)["name"] for line in chain.path.with_suffix(".names.ndjson").read_bytes().splitlines()]
    assert names[-1] == "room"


def test_a_line_torn_by_a_crash_is_told_from_an_altered_one(chain):
    chain.close()
    with chain.path.open("ab") as file:
        file.write(b'{"n":1,"ti')
    assert verify(chain.path, chain.head) == (1, chain.head, True)


def test_what_comes_after_the_close_is_counted(chain, telemetry):
    chain.close()
    chain.record("tap_closed", identity="anna", modality="face")
    assert value(telemetry.dropped.labels("audit", "closed")) == 1
    assert not chain.failing
    assert verify(chain.path).lines == 1


def test_a_full_disk_is_failing_until_a_write_proves_the_opposite(chain, telemetry, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        refuse_writes(patch)
        with pytest.raises(AuditUnavailable):
            chain.require("granted", identity="anna", modality="face", permit="p1")
        for _ in range(5):
            assert not chain.retry(), "nothing waits, but the disk is still full"
        assert value(telemetry.audit_failing) == 1
    assert chain.retry()
    assert value(telemetry.audit_failing) == 0
    assert caplog.text.count("nothing is granted") == 1
    chain.close()
    assert verify(chain.path, chain.head) == (1, chain.head, False)


def test_a_recovered_disk_gets_a_few_lines_at_a_time(chain, monkeypatch):
    with monkeypatch.context() as patch:
        refuse_writes(patch)
        for _ in range(250):
            chain.record("tap_opened", identity="anna", modality="face")
    assert [chain.retry(), chain.retry(), chain.retry()] == [False, False, True]
    chain.close()
    assert verify(chain.path, chain.head).lines == 251


def test_a_sealed_chain_ends_in_the_published_head(chain, telemetry, monkeypatch):
    with monkeypatch.context() as patch:
        refuse_writes(patch)
        chain.record("revoked", identity="anna", modality="face")
        head = chain.seal()
    chain.record("detached")
    chain.close()
    assert verify(chain.path, head).lines == 1
    assert value(telemetry.dropped.labels("audit", "disk")) == 1
