"""The events of a room, from what the SDK reports: order, departures, bounds, and nothing left behind."""

import asyncio

import pytest
from livekit import rtc

from sidecar.sources.livekit.events import RoomEvents
from sidecar.telemetry import Telemetry
from sidecar.types import CallEnded, CallEvent, ParticipantChanged, ParticipantLeft, TrackChanged, TrackEnded
from tests.sources.sdk import People

CONSENT = "engagement.consent"


class Rig:
    def __init__(self) -> None:
        self.people = People()
        self.telemetry = Telemetry()
        self.events = RoomEvents(self.people.room, self.telemetry)
        self._reader = aiter(self.events)

    async def read(self, count: int) -> list[CallEvent]:
        async with asyncio.timeout(10):
            return [await anext(self._reader) for _ in range(count)]

    async def read_all(self) -> list[CallEvent]:
        """What there is to read; ends the call."""
        self.people.room.emit("disconnected", rtc.DisconnectReason.ROOM_DELETED)
        return (await self.read_to_the_end())[:-1]

    async def read_to_the_end(self) -> list[CallEvent]:
        async with asyncio.timeout(20):
            return [event async for event in self._reader]

    @property
    def superseded(self) -> float:
        labels = {"stage": "call_events", "reason": "superseded"}
        return self.telemetry.registry.get_sample_value("sidecar_dropped_total", labels) or 0.0


def consents(events: list[CallEvent]) -> list[str | None]:
    return [event.participant.attributes.get(CONSENT) for event in events if isinstance(event, ParticipantChanged)]


def kinds(events: list[CallEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_who_was_there_comes_first_with_their_tracks() -> None:
    rig = Rig()
    rig.people.be_there("ann", tracks=("TR_1", "TR_2"))
    rig.people.be_there("bob")
    rig.events.begin()
    assert kinds(await rig.read(4)) == ["ParticipantChanged", "TrackChanged", "TrackChanged", "ParticipantChanged"]


async def test_a_room_of_5000_is_read_whole_without_holding_up_the_event_loop() -> None:
    rig = Rig()
    for n in range(5000):
        rig.people.be_there(f"viewer {n}", tracks=(f"TR_{n}",))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    rig.events.begin()
    other = asyncio.create_task(others())
    events = await rig.read(10_000)
    other.cancel()
    assert len({event.participant.identity for event in events if isinstance(event, ParticipantChanged)}) == 5000
    assert sum(isinstance(event, TrackChanged) for event in events) == 5000
    assert turns > 9_900, "other tasks get their turn after each event"
    assert rig.superseded == 0


async def test_a_reader_that_is_far_behind_gets_the_newest_state_and_the_room_goes_on() -> None:
    rig = Rig()
    rig.people.join("ann")
    await rig.read(1)
    for n in range(6000):
        rig.people.set_attributes("ann", **{CONSENT: "face" if n % 2 else ""})
    rig.people.set_attributes("ann", **{CONSENT: "voice"})
    events = await rig.read_all()
    assert consents(events) == [None, "voice"], "what was withdrawn in between is withdrawn first"
    assert rig.superseded >= 5900


async def test_each_change_of_consent_is_read_by_a_reader_that_keeps_up() -> None:
    rig = Rig()
    rig.people.join("ann")
    await rig.read(1)
    wanted = ["face", "", "face,voice", "", "face"] * 4
    seen = []
    for words in wanted:
        rig.people.set_attributes("ann", **{CONSENT: words})
        seen += consents(await rig.read(1))
    assert seen == wanted


async def test_people_who_come_and_go_unread_leave_nothing() -> None:
    rig = Rig()
    for n in range(5000):
        rig.people.join(f"guest {n}")
        rig.people.publish(f"guest {n}", "TR_1")
        rig.people.leave(f"guest {n}")
    assert await rig.read_all() == []


async def test_tracks_that_come_and_go_unread_leave_nothing() -> None:
    rig = Rig()
    rig.people.join("ann")
    await rig.read(1)
    for n in range(3000):
        rig.people.publish("ann", f"TR_{n}")
        rig.people.mute("ann", f"TR_{n}")
        rig.people.unpublish("ann", f"TR_{n}")
    assert await rig.read_all() == []


async def test_a_track_that_was_read_ends_once() -> None:
    rig = Rig()
    rig.people.join("ann")
    rig.people.publish("ann", "TR_1")
    await rig.read(2)
    rig.people.mute("ann", "TR_1")
    rig.people.mute("ann", "TR_1", muted=False)
    rig.people.unpublish("ann", "TR_1")
    assert kinds(await rig.read_all()) == ["TrackEnded"]


async def test_nothing_is_told_about_the_tracks_of_someone_who_left() -> None:
    rig = Rig()
    ann = rig.people.be_there("ann", tracks=("TR_1", "TR_2"))
    rig.events.begin()
    await rig.read(3)
    late = dict(ann.track_publications)
    rig.people.leave("ann")
    for publication in late.values():  # later than the SDK does it
        rig.people.room.emit("track_unpublished", publication, ann)
        rig.people.room.emit("track_published", publication, ann)
        rig.people.room.emit("track_muted", ann, publication)
    assert kinds(await rig.read_all()) == ["ParticipantLeft"]


async def test_fast_rejoins_end_in_the_newest_person() -> None:
    rig = Rig()
    rig.people.join("ann", **{CONSENT: "face"})
    rig.people.publish("ann", "TR_1")
    await rig.read(2)
    for n in range(2, 6):
        rig.people.leave("ann")
        rig.people.join("ann", **{CONSENT: "voice"})
        rig.people.publish("ann", f"TR_{n}")
    events = await rig.read_all()
    assert kinds(events) == ["ParticipantLeft", "ParticipantChanged", "TrackChanged"]
    assert consents(events) == ["voice"]


async def test_a_departure_without_a_reason_waits_for_a_return() -> None:
    rig = Rig()
    rig.people.join("ann")
    rig.people.join("bob")
    await rig.read(2)
    rig.people.leave("ann", reason=rtc.DisconnectReason.UNKNOWN_REASON)
    rig.people.leave("bob", reason=rtc.DisconnectReason.UNKNOWN_REASON)
    rig.people.join("ann")
    assert kinds(await rig.read(2)) == ["ParticipantChanged", "ParticipantLeft"]


async def test_a_whole_room_that_is_gone_and_back_during_a_reconnection_never_left() -> None:
    rig = Rig()
    people = [f"viewer {n}" for n in range(200)]
    for identity in people:
        rig.people.join(identity)
    await rig.read(200)
    rig.people.room.emit("reconnecting")
    for identity in people:
        rig.people.leave(identity, reason=rtc.DisconnectReason.UNKNOWN_REASON)
    for identity in people[1:]:
        rig.people.join(identity)
    rig.people.room.emit("reconnected")
    events = await rig.read_all()
    assert [event.identity for event in events if isinstance(event, ParticipantLeft)] == people[:1]


async def test_changes_before_the_reader_got_to_a_person_are_part_of_their_first_state() -> None:
    rig = Rig()
    for identity in ("ann", "bob", "eve"):
        rig.people.be_there(identity, tracks=(f"TR_{identity}",))
    rig.events.begin()
    rig.people.set_attributes("bob", **{CONSENT: "face"})
    rig.people.publish("eve", "TR_new")
    rig.people.leave("ann")
    events = await rig.read_all()
    by_person = [getattr(event, "participant", None) or event.track for event in events]
    assert {person.identity for person in by_person} == {"bob", "eve"}
    assert consents(events) == ["face", None]
    assert {event.track.sid for event in events if isinstance(event, TrackChanged)} == {"TR_bob", "TR_eve", "TR_new"}


async def test_an_interrupted_track_is_announced_again_only_while_it_is_there() -> None:
    rig = Rig()
    ann = rig.people.be_there("ann", tracks=("TR_1", "TR_2"))
    rig.events.begin()
    await rig.read(3)
    for sid in ("TR_1", "TR_2", "TR_1"):
        rig.events.interrupted(ann.track_publications[sid])
    rig.people.unpublish("ann", "TR_1")
    (ended, again) = await rig.read(2)
    assert isinstance(ended, TrackEnded)
    assert isinstance(again, TrackChanged)
    assert again.track.sid == "TR_2"


@pytest.mark.parametrize("connected", [True, False])
async def test_leaving_leaves_no_timer_and_no_handler(connected: bool) -> None:
    rig = Rig()
    ann = rig.people.be_there("ann", tracks=("TR_1",))
    rig.people.be_there("bob")
    rig.events.begin()
    rig.events.interrupted(ann.track_publications["TR_1"])
    rig.people.leave("bob", reason=rtc.DisconnectReason.UNKNOWN_REASON)
    if not connected:
        rig.people.room.emit("disconnected", rtc.DisconnectReason.DUPLICATE_IDENTITY)
    rig.events.close()
    rig.events.close()
    assert not any(rig.people.room._events.values())
    timers = [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]
    assert not [timer for timer in timers if "RoomEvents" in repr(timer)]
    assert (await rig.read_to_the_end())[-1] == CallEnded("client_initiated" if connected else "duplicate_identity")


async def test_the_owner_of_a_track_is_known_from_its_publication_to_its_end() -> None:
    rig = Rig()
    rig.people.be_there("ann", tracks=("TR_1",))
    rig.people.be_there("eve", tracks=("TR_9",))
    rig.events.begin()
    rig.people.join("bob")
    rig.people.publish("bob", "TR_2")
    sids = (None, "TR_0", "TR_1", "TR_2", "TR_9")
    assert [rig.events.owner_of(sid) for sid in sids] == [None, None, "ann", "bob", "eve"]
    rig.people.unpublish("ann", "TR_1")
    rig.people.leave("bob")
    rig.people.leave("eve", reason=rtc.DisconnectReason.UNKNOWN_REASON)
    assert [rig.events.owner_of(sid) for sid in sids] == [None] * 5
    rig.events.close()
