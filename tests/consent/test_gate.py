import pytest

from sidecar.consent.audit import AuditChain
from sidecar.consent.gate import ConsentGate, parse_consent
from sidecar.errors import PermitRevoked
from sidecar.telemetry import Telemetry
from sidecar.types import Modality, Participant, ParticipantKind
from tests.fakes.clock import VirtualClock


@pytest.fixture
def gate(tmp_path):
    with AuditChain(tmp_path, "room", "epoch", VirtualClock(), Telemetry()) as audit:
        yield ConsentGate(audit, Telemetry())


def person(consent, kind=ParticipantKind.STANDARD, identity="anna"):
    return Participant(identity, kind, {} if consent is None else {"engagement.consent": consent})


@pytest.mark.parametrize(
    ("value", "modalities", "well_formed"),
    [
        (None, set(), True),
        ("", set(), True),
        ("  ", set(), True),
        ("face", {"face"}, True),
        (" face , voice,text ", {"face", "voice", "text"}, True),
        ("face,face", {"face"}, True),
        ("Face", set(), False),
        ("face,smell", set(), False),
        ("face,", set(), False),
        ("face;voice", set(), False),
    ],
)
def test_attribute_values(value, modalities, well_formed):
    assert parse_consent(value) == (modalities, well_formed)


def test_grants_only_what_is_declared(gate):
    change = gate.declare(person("voice,face"))
    assert change.consent == (Modality.FACE, Modality.VOICE)
    assert gate.permit("anna", Modality.TEXT) is None
    assert gate.permit("anna", Modality.FACE).live


def test_a_revoked_permit_is_never_revived(gate):
    first = gate.declare(person("face")).granted[0]
    change = gate.declare(person(""))
    assert change.revoked == (first,)
    with pytest.raises(PermitRevoked):
        first.check()
    second = gate.declare(person("face")).granted[0]
    assert second is not first
    assert second.live
    assert not first.live


def test_unchanged_consent_keeps_the_permit(gate):
    first = gate.declare(person("face")).granted[0]
    change = gate.declare(person("face,voice"))
    assert [permit.modality for permit in change.granted] == ["voice"]
    assert gate.permit("anna", Modality.FACE) is first


def test_a_malformed_value_revokes_and_says_why(gate):
    gate.declare(person("face"))
    change = gate.declare(person("face,please"))
    assert change.consent == ()
    assert change.reason == "consent_malformed"
    assert len(change.revoked) == 1


def test_programs_cannot_consent(gate):
    change = gate.declare(person("face", ParticipantKind.AGENT))
    assert change.consent == ()
    assert change.reason == "unsupported_source"


def test_leaving_revokes_all(gate):
    permits = gate.declare(person("face,voice,text")).granted
    gate.withdraw("anna")
    assert not any(permit.live for permit in permits)
    assert gate.permit("anna", Modality.FACE) is None
