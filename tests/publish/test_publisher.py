import json
from pathlib import Path

import jsonschema
import pytest

from sidecar import schema
from sidecar.errors import PermitRevoked
from sidecar.publish.publisher import RoomPublisher, new_epoch
from sidecar.schema import ParticipantChange, RoomChange
from sidecar.types import Modality, Permit
from tests.fakes.clock import VirtualClock
from tests.fakes.sink import MemorySink

COMMITTED = json.loads((Path(schema.__file__).parent / "events.schema.json").read_text())


@pytest.fixture
def sink():
    return MemorySink()


def publisher(sink, room="demo", worker="w1"):
    return RoomPublisher(room, "e1", worker, sink, VirtualClock(1_700_000_000.25))


def test_the_committed_schema_is_the_generated_one():
    assert schema.json_schema() == COMMITTED


def test_envelope(sink):
    publisher(sink).publish(RoomChange(room="demo", change="attached"))
    event = sink.events[0]
    jsonschema.validate(event, COMMITTED)
    assert event["time"] == "2023-11-14T22:13:20.250Z"
    assert event["source"] == "/engagement-sidecar/w1"
    assert event["subject"] == "demo"


def test_subjects_are_percent_encoded(sink):
    room, identity = "my room/1", "Zoë 🎤/x"
    publisher(sink, room, "pod 7").publish(
        ParticipantChange(room=room, identity=identity, change="attached", consent=[Modality.FACE])
    )
    event = sink.events[0]
    assert event["subject"] == "my%20room%2F1/Zo%C3%AB%20%F0%9F%8E%A4%2Fx"
    assert event["source"] == "/engagement-sidecar/pod%207"
    assert event["data"]["identity"] == identity


def test_a_revoked_permit_stops_the_event_and_leaves_no_hole(sink):
    numbered = publisher(sink)
    permit = Permit("anna", Modality.FACE)
    numbered.publish(RoomChange(room="demo", change="attached"))
    permit.revoke()
    with pytest.raises(PermitRevoked):
        numbered.publish(RoomChange(room="demo", change="gap"), [permit])
    numbered.publish(RoomChange(room="demo", change="detached"))
    assert [event["sequence"] for event in sink.events] == ["1", "2"]
    assert [event["data"]["change"] for event in sink.events] == ["attached", "detached"]


def test_ids_are_unique_and_one_epoch_is_one_trace(sink):
    numbered = publisher(sink)
    for _ in range(3):
        numbered.publish(RoomChange(room="demo", change="attached"))
    assert len({event["id"] for event in sink.events}) == 3
    assert len({event["traceparent"].split("-")[1] for event in sink.events}) == 1


def test_the_schema_refuses_data_of_another_type(sink):
    publisher(sink).publish(RoomChange(room="demo", change="attached"))
    event = sink.events[0] | {"type": "engagement.estimate.v1"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, COMMITTED)


async def test_later_epochs_sort_after_earlier_ones():
    clock = VirtualClock()
    first = new_epoch(clock)
    await clock.advance(1)
    assert first < new_epoch(clock)


def test_a_sink_that_refuses_an_event_leaves_no_hole(sink):
    numbered = publisher(sink)
    numbered.publish(RoomChange(room="demo", change="attached"))
    take, sink.put = sink.put, lambda envelope: (_ for _ in ()).throw(OSError("full"))
    with pytest.raises(OSError, match="full"):
        numbered.publish(RoomChange(room="demo", change="gap"))
    assert numbered.sequence == 1
    sink.put = take
    numbered.publish(RoomChange(room="demo", change="detached"))
    assert [event["sequence"] for event in sink.events] == ["1", "2"]
