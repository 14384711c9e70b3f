"""What goes wrong with one person, track, disk or stage stays there, and ends are immediate."""

import asyncio
import errno
import json
import os
import tracemalloc

import pytest

from sidecar.consent.audit import verify
from sidecar.types import (
    Modality,
    Participant,
    ParticipantChanged,
    ParticipantKind,
    ParticipantLeft,
    Track,
    TrackChanged,
    TrackEnded,
    TrackSource,
)
from tests.fakes.clock import settle
from tests.fakes.stages import FakeStage, FakeStages
from tests.room.world import CAMERA, MICROPHONE, Room, running


def camera_of(identity):
    return Track(f"TR_{identity}", identity, TrackSource.CAMERA, muted=False, encrypted=False)


def count(metric):
    return metric._value.get()


def participants(room):
    return {modality.value: count(room.telemetry.participants.labels(modality)) for modality in Modality}


def full_disk(patch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(os, "write", refuse)


async def attend(room, *identities, words="face"):
    for identity in identities:
        room.call.emit(TrackChanged(camera_of(identity)))
        room.consent(words, identity=identity)
    await settle()


class BrokenStage(FakeStage):
    """Raises what no code expects while `broken` is set on the class."""

    broken = True

    async def observe(self, unit):
        if type(self).broken and unit.permit.identity == "anna":
            raise ZeroDivisionError("anna's face is too round")
        return await super().observe(unit)


class BrokenStages(FakeStages):
    def __init__(self):
        super().__init__()
        BrokenStage.broken = True

    def face(self):
        stage = BrokenStage(Modality.FACE)
        self.made.append((Modality.FACE, stage))
        return stage


async def test_a_full_disk_at_the_end_leaves_no_permit_no_gauge_and_a_detached_event(tmp_path, monkeypatch):
    room = Room(tmp_path)
    task = asyncio.create_task(room.session.run())
    await attend(room, "anna", "berta")
    permits = [tap.permit for tap in room.call.open_taps]
    with monkeypatch.context() as patch:
        full_disk(patch)
        room.consent("", identity="anna")
        await settle()
        assert not permits[0].live
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not any(permit.live for permit in permits)
    assert set(participants(room).values()) == {0}
    last = room.sink.data("room")[-1]
    assert (last["change"], last["reason"]) == ("detached", "drained")
    room.audit.close()
    assert verify(room.audit.path, last["audit_head"]).lines > 0
    assert room.dropped("audit", "disk") > 0, "what the disk refused to the end is counted"


async def test_what_a_full_disk_refused_is_written_before_the_last_head(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        await attend(room, "anna")
        with monkeypatch.context() as patch:
            full_disk(patch)
            room.consent("", identity="anna")
            await settle()
    lines = [json.loads(line) for line in room.audit.path.read_bytes().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds.count("granted") == kinds.count("revoked") == 1
    assert kinds[-1] == "detached"
    assert lines[-1]["hash"] == room.sink.data("room")[-1]["audit_head"]


async def test_consent_given_while_the_disk_is_full_is_granted_when_it_can_be_proven(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        with monkeypatch.context() as patch:
            full_disk(patch)
            await attend(room, "anna")
            assert room.call.taps == []
            said = room.sink.data("participant")[-1]
            assert (said["change"], said["consent"], said["reason"]) == ("consent", [], "audit_unavailable")
            await room.clock.advance(3)
            assert room.call.taps == []
        await room.clock.advance(1.1)
        assert len(room.call.open_taps) == 1
        assert [each["change"] for each in room.sink.data("participant")][1:3] == ["attached", "modality"]


async def test_what_waits_for_the_disk_is_what_was_declared_last(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        with monkeypatch.context() as patch:
            full_disk(patch)
            await attend(room, "anna", "berta")
            room.consent("", identity="anna")
            room.call.emit(ParticipantLeft("berta"))
            await settle()
        await room.clock.advance(2)
        assert room.call.taps == []


class SlowCall:
    """Taps that take long to close."""

    def __init__(self, call, seconds):
        self._call, self._seconds = call, seconds

    def __getattr__(self, name):
        return getattr(self._call, name)

    def open_video(self, track, permit):
        return _Slow(self._call.open_video(track, permit), self._seconds)


class _Slow:
    def __init__(self, tap, seconds):
        self._tap, self._seconds = tap, seconds

    async def __aenter__(self):
        return await self._tap.__aenter__()

    async def __aexit__(self, *error):
        await asyncio.sleep(self._seconds)
        return await self._tap.__aexit__(*error)


async def test_one_persons_slow_tap_does_not_delay_another_persons_revocation(tmp_path):
    async with running(tmp_path) as room:
        room.session._call = SlowCall(room.call, 0.5)
        await attend(room, "anna", "berta")
        berta = next(tap.permit for tap in room.call.open_taps if tap.permit.identity == "berta")
        room.call.emit(ParticipantLeft("anna"))
        room.consent("", identity="berta")
        await settle()
        assert not berta.live
        assert [each["change"] for each in room.sink.data("participant")][-3:] == ["left", "consent", "modality"]


async def test_detaching_many_people_with_slow_taps_revokes_at_once_and_closes_in_parallel(tmp_path):
    room = Room(tmp_path)
    room.session._call = SlowCall(room.call, 0.3)
    task = asyncio.create_task(room.session.run())
    await attend(room, *(f"person {n}" for n in range(8)))
    permits = [tap.permit for tap in room.call.open_taps]
    assert len(permits) == 8
    task.cancel()
    await settle(2)
    assert not any(permit.live for permit in permits)
    assert set(participants(room).values()) == {0}
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.get_running_loop().time() - started_s < 1.0
    assert room.call.open_taps == []
    room.audit.close()


async def test_an_unexpected_error_ends_one_persons_readings_and_is_tried_again(tmp_path, caplog):
    async with running(tmp_path, BrokenStages()) as room:
        await attend(room, "anna", "berta")
        await room.feed(3)
        read = {estimate["identity"] for estimate in room.sink.data("estimate")}
        assert read == {"berta"}
        off = [each for each in room.sink.data("participant") if each["reason"] == "engine_unavailable"]
        assert [(each["identity"], each["modality"], each["state"]) for each in off] == [("anna", "face", "off")]
        assert count(room.telemetry.task_failures.labels("tap-face")) >= 1
        BrokenStage.broken = False
        await room.feed(6)
        assert {estimate["identity"] for estimate in room.sink.data("estimate")} == {"anna", "berta"}
        assert room.sink.data("participant")[-1]["state"] == "on"
    assert "round" not in caplog.text, "messages of unexpected errors may quote anything"
    assert room.sink.data("room")[-1]["reason"] == "room_closed"


async def test_a_reading_that_fails_is_made_again_with_a_new_pipeline(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        await attend(room, "anna")
        await room.feed(1.5)
        before = len(room.sink.data("estimate"))
        with monkeypatch.context() as patch:
            patch.setattr("sidecar.pipeline.granular", lambda _: 1 / 0)
            await room.feed(2)
            assert len(room.sink.data("estimate")) == before
        await room.feed(6)
        assert len(room.sink.data("estimate")) > before
        assert room.call.open_taps[0].permit.live
        assert count(room.telemetry.task_failures.labels("person")) >= 1


async def test_an_error_in_the_handling_of_an_event_ends_nothing(tmp_path, monkeypatch):
    async with running(tmp_path) as room:
        await attend(room, "anna")
        with monkeypatch.context() as patch:
            patch.setattr("sidecar.room.person.Person.settle", lambda _: {}["anna"])
            room.call.emit(TrackEnded(camera_of("anna")))
            room.consent("", identity="anna")
            await settle()
        assert not room.call.taps[0].permit.live, "consent ends whatever else fails"
        await attend(room, "berta")
        await room.feed(2)
        assert room.sink.data("estimate")[-1]["identity"] == "berta"
        assert count(room.telemetry.task_failures.labels("room_event")) == 2


async def test_a_call_that_breaks_says_that_it_failed(tmp_path):
    class Breaking:
        async def events(self):
            yield ParticipantChanged(Participant("anna", ParticipantKind.STANDARD, {}))
            raise ConnectionError

    room = Room(tmp_path)
    room.session._call = Breaking()
    with pytest.raises(ConnectionError):
        await room.session.run()
    assert room.sink.data("room")[-1]["reason"] == "failed"
    room.audit.close()


async def test_thousands_of_silent_viewers_cost_no_pipeline(tmp_path):
    people = [Participant(f"viewer {n}", ParticipantKind.STANDARD, {}) for n in range(5000)]
    tracks = [Track(f"TR_{n}", f"viewer {n}", TrackSource.CAMERA, muted=False, encrypted=False) for n in range(5000)]
    async with running(tmp_path) as room:
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for person, track in zip(people, tracks, strict=True):
            room.call.emit(ParticipantChanged(person), TrackChanged(track))
        await settle(200)
        while not room.call._events.empty():
            await settle()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert room.stages.made == []
        assert after - before < 30e6
        assert room.sink.data("participant") == []


async def test_a_track_that_ends_after_its_participant_left_makes_no_ghost(tmp_path):
    async with running(tmp_path) as room:
        await attend(room, "anna")
        room.call.emit(ParticipantLeft("anna"), TrackEnded(camera_of("anna")))
        await settle()
        assert room.session._persons == {}
        assert not room.session._tracks.get("anna")
        assert room.sink.data("participant")[-1]["change"] == "left"


async def test_someone_who_comes_back_at_once_is_read_anew(tmp_path):
    async with running(tmp_path) as room:
        for _ in range(5):
            await attend(room, "anna")
            room.call.emit(ParticipantLeft("anna"))
        await attend(room, "anna")
        await room.feed(2)
        assert len(room.call.open_taps) == 1
        assert sum(tap.permit.live for tap in room.call.taps) == 1
        assert room.sink.data("estimate")


async def test_consent_that_flaps_leaves_one_tap_and_one_permit(tmp_path):
    async with running(tmp_path) as room:
        room.call.emit(TrackChanged(CAMERA), TrackChanged(MICROPHONE))
        for n in range(40):
            room.consent("face,voice" if n % 2 else "voice")
            await settle(n % 3)
        await settle()
        assert [tap.track.sid for tap in room.call.open_taps].count("TR_cam") == 1
        assert participants(room) == {"face": 1, "voice": 1, "text": 0}
    assert set(participants(room).values()) == {0}


class Blank(FakeStage):
    """Runs its model on every unit and never comes to a prediction."""

    async def observe(self, unit):
        self._permit = unit.permit


class BlankStages(FakeStages):
    def voice(self):
        stage = Blank(Modality.VOICE)
        self.made.append((Modality.VOICE, stage))
        return stage


async def test_inference_without_a_prediction_is_proven_too(tmp_path):
    async with running(tmp_path, BlankStages()) as room:
        room.call.emit(TrackChanged(MICROPHONE))
        room.consent("voice")
        await settle()
        await room.feed(4)
    lines = [json.loads(line) for line in room.audit.path.read_bytes().splitlines()]
    [inferred] = [line for line in lines if line["kind"] == "inferred"]
    assert inferred["count"] == 20
    assert inferred["models"] == {"fake-voice": "0" * 64}
