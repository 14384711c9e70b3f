"""Parts that break in the middle of consent, revocation and reading: proof and permits stay right."""

import asyncio
import errno
import json
import os
from contextlib import asynccontextmanager

import pytest

from sidecar.consent.audit import verify
from sidecar.dispatch.observation import LEASE_LOST
from sidecar.types import CallEnded, EpisodeKind, Modality, ParticipantKind, TrackChanged, TranscriptOffered
from tests.fakes.call import FakeCall, FakeTap
from tests.fakes.clock import settle
from tests.fakes.stages import FakeStage, FakeStages
from tests.room.world import CAMERA, MICROPHONE, Room, running


def lines(room):
    return [json.loads(line) for line in room.audit.path.read_bytes().splitlines()]


def kinds(room):
    return [line["kind"] for line in lines(room)]


def states(room):
    changes = [each for each in room.sink.data("participant") if each["change"] == "modality"]
    return {each["modality"]: (each["state"], each["reason"]) for each in changes}


class BadClose(FakeCall):
    """Taps whose clean-up raises."""

    @asynccontextmanager
    async def open_audio(self, track, permit):
        tap = FakeTap(track, permit)
        self.taps.append(tap)
        try:
            yield tap
        except asyncio.CancelledError:
            raise RuntimeError("closing failed") from None
        finally:
            tap.open = False

    open_video = open_audio


async def test_a_tap_whose_clean_up_fails_is_not_opened_again_after_the_revocation(tmp_path):
    room = Room(tmp_path)
    room.call = room.session._call = BadClose()
    task = asyncio.create_task(room.session.run())
    room.call.emit(TrackChanged(CAMERA))
    room.consent("face")
    await settle()
    await room.feed(1)
    room.consent("")
    await room.clock.advance(60)
    assert kinds(room).count("tap_opened") == 1
    assert room.call.open_taps == []
    room.call.emit(CallEnded("room_closed"))
    await asyncio.wait_for(task, 8)
    room.audit.close()


class Stumbling(FakeStage):
    """Fails on its thirtieth unit."""

    units = 0

    async def observe(self, unit):
        type(self).units += 1
        if type(self).units == 30:
            raise ValueError
        return await super().observe(unit)


class StumblingStages(FakeStages):
    def voice(self):
        stage = Stumbling(Modality.VOICE)
        self.made.append((Modality.VOICE, stage))
        return stage


async def test_what_was_inferred_before_a_failure_is_proven(tmp_path):
    Stumbling.units = 0
    async with running(tmp_path, StumblingStages()) as room:
        room.call.emit(TrackChanged(MICROPHONE))
        room.consent("voice")
        await settle()
        await room.feed(10)
    assert sum(line["count"] for line in lines(room) if line["kind"] == "inferred") == Stumbling.units


async def test_the_published_head_is_the_last_line_after_a_failed_fsync(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        room.call.emit(TrackChanged(CAMERA))
        room.consent("face")
        await room.feed(2)
        real = os.fsync

        def fail(descriptor):
            if "e1.jsonl" in os.readlink(f"/proc/self/fd/{descriptor}"):
                raise OSError(errno.EIO, "Input/output error")
            return real(descriptor)

        monkeypatch.setattr(os, "fsync", fail)
        room.consent("face,voice")
        await settle()
        room.audit._sync.result()
    head = room.sink.data("room")[-1]["audit_head"]
    assert verify(room.audit.path, head).lines == len(lines(room))
    assert kinds(room)[-1] == "detached"


class Forgetful(FakeStages):
    """A factory that cannot make a face stage while `broken`."""

    broken = False

    def face(self):
        if self.broken:
            raise MemoryError
        return super().face()


async def test_a_pipeline_that_cannot_be_made_is_made_by_a_later_reading(tmp_path):
    stages = Forgetful()
    stages.broken = True
    async with running(tmp_path, stages) as room:
        room.call.emit(TrackChanged(CAMERA))
        room.consent("face")
        await room.feed(2)
        assert room.sink.data("participant")[0]["change"] == "attached"
        assert states(room)["face"] == ("off", "engine_unavailable")
        stages.broken = False
        await room.feed(3)
        assert room.sink.data("estimate")
        assert states(room)["face"] == ("on", None)


async def test_a_revocation_holds_although_forgetting_fails(tmp_path):
    stages = Forgetful()
    async with running(tmp_path, stages) as room:
        room.call.emit(TrackChanged(CAMERA), TrackChanged(MICROPHONE))
        room.consent("face,voice")
        await room.feed(3)
        stages.broken = True
        room.consent("")
        await settle()
        stages.broken = False
        published = len(room.sink.data("estimate"))
        await room.feed(5)
        assert room.call.open_taps == []
        assert len(room.sink.data("estimate")) == published
        assert states(room)["face"] == ("off", "no_consent")
        revoked = kinds(room).index("revoked")
        assert "tap_opened" not in kinds(room)[revoked:]
        assert kinds(room).count("inferred") == 2


async def test_one_failed_reading_leaves_no_modality_off(tmp_path):
    async with running(tmp_path) as room:
        room.call.emit(TrackChanged(CAMERA))
        room.consent("face,text")
        await room.feed(2)

        async def fail(_):
            raise ValueError

        room.session._persons["anna"]._pipeline.reading = fail
        await room.feed(5)
        assert states(room) == {"face": ("on", None), "text": ("on", None)}


async def test_a_lost_lease_is_the_reason_of_the_detachment(tmp_path):
    room = Room(tmp_path)
    task = asyncio.create_task(room.session.run())
    await settle()
    task.cancel(LEASE_LOST)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert room.sink.data("room")[-1]["reason"] == "lease_lost"
    room.audit.close()


async def test_streams_that_fail_release_their_readers(tmp_path):
    class Bad:
        async def read(self):
            raise ValueError

    async with running(tmp_path) as room:
        room.consent("text")
        await settle()
        for number in range(30):
            room.call.emit(TranscriptOffered(f"s{number}", "anna", ParticipantKind.STANDARD, "anna", Bad()))
            await settle(5)
        await settle(50)
        assert room.session._persons["anna"]._readers == 0
        assert states(room)["text"] == ("off", "engine_unavailable")


async def test_failing_tasks_of_the_room_are_known(tmp_path):
    Stumbling.units = 28
    async with running(tmp_path, StumblingStages()) as room:
        room.call.emit(TrackChanged(MICROPHONE))
        room.consent("voice")
        await settle()
        await room.feed(1)
        assert room.session.failing == {"tap-voice": "ValueError"}


async def test_an_episode_ends_although_the_reading_fails(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        room.call.emit(TrackChanged(CAMERA))
        room.consent("face")
        await room.feed(2)
        with monkeypatch.context() as patch:
            patch.setattr("sidecar.temporal.episodes._levels", lambda _: {EpisodeKind.CONFUSION: 0.9})
            await room.feed(6)
            assert room.sink.data("episode")[0]["phase"] == "start"
            patch.setattr("sidecar.pipeline.granular", lambda _: 1 / 0)
            await room.feed(2)
        last = room.sink.data("episode")[-1]
        assert (last["phase"], last["end_reason"]) == ("end", "evidence_lost")


async def test_a_permit_without_a_person_ends_with_the_room(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        monkeypatch.setattr("sidecar.room.session.Person", lambda *_: 1 / 0)
        room.consent("face")
        await settle()
        permit = room.session._gate.permit("anna", Modality.FACE)
        assert permit.live
    assert not permit.live
