import hashlib
import json

import pytest

from sidecar.consent.audit import GENESIS, AuditChain, verify
from sidecar.errors import AuditBroken, ConfigurationError
from sidecar.telemetry import Telemetry
from tests.fakes.clock import VirtualClock

ROOM = "Café / 🎥 room"


@pytest.fixture
def chain(tmp_path):
    with AuditChain(tmp_path, ROOM, "0001-abc", VirtualClock(), Telemetry()) as audit:
        audit.record("attached")
        audit.record("granted", identity="Anna Müller", modality="face", permit="p1")
        audit.record("inferred", identity="Anna Müller", modality="face", permit="p1", count=5, media_from_s=0.2)
        audit.record("revoked", identity="Anna Müller", modality="face", permit="p1")
    return audit


def test_place_and_chain(chain, tmp_path):
    assert chain.path == tmp_path / hashlib.sha256(ROOM.encode()).hexdigest()[:32] / "0001-abc.jsonl"
    lines = [json.loads(line) for line in chain.path.read_text().splitlines()]
    assert [line["n"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["prev"] == GENESIS
    assert [line["prev"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert verify(chain.path, chain.head) == (4, chain.head, False)


def test_the_log_names_nobody_and_the_names_lie_beside_it(chain):
    log = chain.path.read_text()
    assert "Anna" not in log
    assert ROOM not in log
    references = {json.loads(line).get("person_ref") for line in log.splitlines()} - {None}
    names = [json.loads(line) for line in chain.path.with_suffix(".names.ndjson").read_text().splitlines()]
    assert {entry["ref"]: entry["name"] for entry in names if entry["kind"] == "person"} == {
        references.pop(): "Anna Müller"
    }
    assert not references


def test_files_are_private(chain):
    assert chain.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("line", [0, 1, 3])
def test_an_altered_line_is_found(chain, line):
    lines = chain.path.read_text().splitlines()
    lines[line] = lines[line].replace('"time":"1970', '"time":"1971')
    chain.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AuditBroken, match=f"line {line + 1}"):
        verify(chain.path)


def test_a_removed_line_is_found(chain):
    lines = chain.path.read_text().splitlines()
    del lines[1]
    chain.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AuditBroken, match="missing"):
        verify(chain.path)


def test_a_cut_tail_is_found_by_the_published_head(chain):
    lines = chain.path.read_text().splitlines()
    chain.path.write_text("\n".join(lines[:-1]) + "\n")
    verify(chain.path)
    with pytest.raises(AuditBroken, match="published head"):
        verify(chain.path, chain.head)


def test_an_unreadable_file_says_so(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nothing\.jsonl"):
        verify(tmp_path / "nothing.jsonl")


def test_rubbish_is_no_audit(tmp_path):
    for number, content in enumerate((b"[" * 100_000 + b"\n", b"\xff\xfe\n", b"17\n", b'{"n":0}\n')):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(content)
        with pytest.raises(AuditBroken, match="line 1"):
            verify(path)
