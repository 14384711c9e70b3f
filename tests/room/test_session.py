import asyncio

import numpy as np
import pytest

from sidecar.types import (
    Participant,
    ParticipantChanged,
    ParticipantKind,
    ParticipantLeft,
    Track,
    TrackChanged,
    TrackEnded,
    TrackSource,
    TranscriptOffered,
    VideoFrame,
)
from tests.fakes.clock import settle
from tests.room.world import CAMERA, MICROPHONE, Room, running


@pytest.fixture
def folder(tmp_path):
    return tmp_path


async def test_nothing_is_opened_or_said_without_consent(folder):
    async with running(folder) as room:
        room.call.emit(ParticipantChanged(Participant("anna", ParticipantKind.STANDARD, {})))
        room.call.emit(TrackChanged(CAMERA), TrackChanged(MICROPHONE))
        await room.feed(3)
        assert room.call.taps == []
        assert room.sink.data("participant") == []
        assert room.sink.data("estimate") == []


async def test_consent_opens_just_the_modality_it_names(folder):
    async with running(folder) as room:
        room.call.emit(TrackChanged(CAMERA), TrackChanged(MICROPHONE))
        room.consent("face")
        await settle()
        assert [tap.track for tap in room.call.open_taps] == [CAMERA]
        await room.feed(3)
        estimates = room.sink.data("estimate")
        assert len(estimates) == 3
        assert set(estimates[-1]["modalities"]) == {"face"}
        assert estimates[-1]["missing"] == {"voice": "no_consent", "text": "no_consent"}
        assert estimates[-1]["speaking"] is None


async def test_revoking_one_modality_closes_its_tap_and_forgets_it(folder):
    async with running(folder) as room:
        room.call.emit(TrackChanged(CAMERA), TrackChanged(MICROPHONE))
        room.consent("face,voice")
        await room.feed(2)
        made_before = len(room.stages.made)
        room.consent("voice")
        await settle()
        assert [tap.track for tap in room.call.open_taps] == [MICROPHONE]
        assert [modality for modality, _ in room.stages.made[made_before:]] == ["face"]
        seen = len(room.sink.data("estimate"))
        await room.feed(2)
        later = room.sink.data("estimate")[seen:]
        assert later
        assert all(set(estimate["modalities"]) == {"voice"} for estimate in later)


async def test_a_unit_in_flight_when_consent_ends_reaches_no_estimate(folder):
    async with running(folder) as room:
        room.call.emit(TrackChanged(CAMERA))
        room.consent("face")
        await settle()
        tap = room.call.open_taps[0]
        tap.units.put_nowait(VideoFrame(np.zeros((2, 2, 3), np.uint8), 0.1, room.clock.monotonic(), tap.permit))
        room.consent("")
        await room.clock.advance(3)
        assert room.sink.data("estimate") == []


async def test_sequence_has_no_holes_and_begins_with_attached(folder):
    async with running(folder) as room:
        room.call.emit(TrackChanged(CAMERA))
        room.consent("face")
        await room.feed(3)
        room.call.emit(ParticipantLeft("anna"))
        await settle()
    assert [event["sequence"] for event in room.sink.events] == [str(n + 1) for n in range(len(room.sink.events))]
    assert room.sink.data("room")[0]["change"] == "attached"
    assert room.sink.data("room")[-1] == {
        "room": "demo",
        "change": "detached",
        "reason": "room_closed",
        "audit_head": room.audit.head,
    }
    assert room.sink.data("participant")[-1]["change"] == "left"


async def test_mute_closes_the_tap_and_says_so(folder):
    async with running(folder) as room:
        room.call.emit(TrackChanged(MICROPHONE))
        room.consent("voice")
        await room.feed(1)
        muted = Track("TR_mic", "anna", TrackSource.MICROPHONE, muted=True, encrypted=False, video=False)
        room.call.emit(TrackChanged(muted))
        await settle()
        assert room.call.open_taps == []
        assert room.sink.data("participant")[-1]["reason"] == "muted"
        room.call.emit(TrackChanged(MICROPHONE))
        await settle()
        assert len(room.call.open_taps) == 1
        assert room.sink.data("participant")[-1]["state"] == "on"


@pytest.mark.parametrize(
    ("track", "reason"),
    [
        (Track("TR_1", "anna", TrackSource.CAMERA, muted=False, encrypted=True), "encrypted"),
        (Track("TR_1", "anna", TrackSource.OTHER, muted=False, encrypted=False), "unsupported_source"),
        (None, "no_track"),
    ],
)
async def test_tracks_that_cannot_serve_are_named(folder, track, reason):
    async with running(folder) as room:
        if track is not None:
            room.call.emit(TrackChanged(track))
        room.consent("face")
        await settle()
        assert room.call.taps == []
        said = room.sink.data("participant")[-1]
        assert (said["modality"], said["state"], said["reason"]) == ("face", "off", reason)


async def test_a_track_that_ends_and_a_new_one(folder):
    async with running(folder) as room:
        room.call.emit(TrackChanged(CAMERA))
        room.consent("face")
        await settle()
        room.call.emit(TrackEnded(CAMERA))
        await settle()
        assert room.call.open_taps == []
        replacement = Track("TR_new", "anna", TrackSource.CAMERA, muted=False, encrypted=False)
        room.call.emit(TrackChanged(replacement))
        await settle()
        assert [tap.track.sid for tap in room.call.open_taps] == ["TR_new"]


class Words:
    def __init__(self):
        self.was_read = False

    async def read(self):
        self.was_read = True
        return "this is wonderful"


def offer(words, owner="anna", sender="anna", kind=ParticipantKind.STANDARD):
    return TranscriptOffered("s1", sender, kind, owner, words)


async def test_transcripts_need_a_known_owner_and_consent(folder):
    async with running(folder) as room:
        room.consent("face")
        words = Words()
        room.call.emit(offer(words), offer(words, owner=None), offer(words, sender="eve"))
        await settle()
        assert not words.was_read
        assert room.dropped("transcript", "no_consent") == 1
        assert room.dropped("transcript", "unknown_owner") == 2


@pytest.mark.parametrize(("sender", "kind"), [("anna", ParticipantKind.STANDARD), ("bot", ParticipantKind.AGENT)])
async def test_transcripts_of_the_owner_or_an_agent_are_read(folder, sender, kind):
    async with running(folder) as room:
        room.consent("text")
        words = Words()
        room.call.emit(offer(words, sender=sender, kind=kind))
        await settle()
        assert words.was_read
        await room.clock.advance(1.5)
        assert set(room.sink.data("estimate")[-1]["modalities"]) == {"text"}


async def test_cancelling_detaches_cleanly(folder):
    room = Room(folder)
    task = asyncio.create_task(room.session.run())
    room.call.emit(TrackChanged(CAMERA))
    room.consent("face")
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert room.call.open_taps == []
    assert room.sink.data("room")[-1]["change"] == "detached"
    assert not room.call.taps[0].permit.live
