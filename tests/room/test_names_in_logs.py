"""Whatever goes wrong in a room, the log names neither the room nor a person, and quotes no words."""

import errno
import logging
import os

import pytest

from sidecar.errors import PermitRevoked, TrackUnavailable
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
)
from tests.fakes.clock import settle
from tests.fakes.stages import FakeStage, FakeStages
from tests.room.world import Room, running

IDENTITY, NAME, SPOKEN, ROOM = "coelacanth", "Ambystoma Mexicanum", "ginkgo biloba", "zebrafinch"
SECRETS = (IDENTITY, "ambystoma", "ginkgo", ROOM)


@pytest.fixture(autouse=True)
def _discreet(caplog):
    """Everything is logged, and looked at in the end, tracebacks included."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        line = logging.Formatter().format(record)
        assert not [secret for secret in SECRETS if secret in line.lower()], line


class FailingStages(FakeStages):
    """Stages that raise what quotes all that they were given."""

    def __init__(self, error):
        super().__init__()
        self._error = error

    def _make(self, modality):
        stage, error = super()._make(modality), self._error

        class Failing(FakeStage):
            async def observe(self, unit):
                raise error(f"{IDENTITY} in {ROOM} ({NAME}) said {SPOKEN}: {unit!r}")

        stage.__class__ = Failing
        return stage


class Words:
    def __init__(self, error=None):
        self._error = error

    async def read(self):
        if self._error is not None:
            raise self._error
        return SPOKEN


async def drive(room: Room) -> None:
    """Consent, media, words, a malformed consent, a track that vanishes and a departure."""
    attributes = {"engagement.consent": "face,voice,text", "note": NAME}
    room.call.emit(ParticipantChanged(Participant(IDENTITY, ParticipantKind.STANDARD, attributes)))
    camera = Track("TR_cam", IDENTITY, TrackSource.CAMERA, muted=False, encrypted=False)
    microphone = Track("TR_mic", IDENTITY, TrackSource.MICROPHONE, muted=False, encrypted=False, video=False)
    room.call.emit(TrackChanged(camera), TrackChanged(microphone))
    await room.feed(3)
    for words in (Words(), Words(TrackUnavailable("the text stream timed out")), Words(ValueError(SPOKEN))):
        room.call.emit(TranscriptOffered("S", IDENTITY, ParticipantKind.STANDARD, IDENTITY, words))
    await room.feed(2)
    room.consent(NAME, identity=IDENTITY)
    await room.feed(1)
    room.consent("face,voice", identity=IDENTITY)
    await room.feed(1)
    room.call.emit(TrackEnded(camera), ParticipantLeft(IDENTITY))
    await room.feed(1)
    await settle()


async def test_a_call_that_goes_well(tmp_path):
    async with running(tmp_path, name=ROOM) as room:
        await drive(room)


@pytest.mark.parametrize("error", [KeyError, PermitRevoked, RuntimeError, OSError])
async def test_stages_that_fail(tmp_path, error):
    async with running(tmp_path, FailingStages(error), ROOM) as room:
        await drive(room)


async def test_a_disk_that_fails(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device", f"/state/{ROOM}")

    async with running(tmp_path, name=ROOM) as room:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", refuse)
            await drive(room)


async def test_a_sink_that_fails(tmp_path, monkeypatch):
    async with running(tmp_path, name=ROOM) as room:

        def refuse(envelope):
            raise RuntimeError(f"no place for {envelope!r}")

        with monkeypatch.context() as patch:
            patch.setattr(room.sink, "put", refuse)
            await drive(room)
