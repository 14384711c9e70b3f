"""What taps and text streams do that is unusual: codecs, faces out of view, floods of transcripts."""

import asyncio

import pytest

from sidecar.errors import UnsupportedCodec
from sidecar.types import Modality, ParticipantKind, TrackChanged, TranscriptOffered
from tests.fakes.call import FakeCall
from tests.fakes.clock import settle
from tests.room.world import CAMERA, Room, running


async def attend(room):
    room.call.emit(TrackChanged(CAMERA))
    room.consent("face")
    await settle()


class Endless:
    """A text stream of which a test decides when it ends."""

    def __init__(self):
        self.opened = False
        self.done = asyncio.Event()

    async def read(self):
        self.opened = True
        await self.done.wait()
        return "this is wonderful"


async def test_the_streams_of_one_sender_are_read_a_few_at_a_time(tmp_path):
    async with running(tmp_path) as room:
        room.consent("text")
        streams = [Endless() for _ in range(100)]
        tasks = len(asyncio.all_tasks())
        for number, stream in enumerate(streams):
            room.call.emit(TranscriptOffered(f"s{number}", "anna", ParticipantKind.STANDARD, "anna", stream))
        await settle()
        assert len(asyncio.all_tasks()) <= tasks + 5
        assert sum(stream.opened for stream in streams) == 4
        assert room.dropped("transcript", "overload") == 100 - 16
        for stream in streams:
            stream.done.set()
        await settle(60)
        assert sum(stream.opened for stream in streams) == 16
        await room.clock.advance(1.5)
        assert set(room.sink.data("estimate")[-1]["modalities"]) == {"text"}


async def test_a_face_out_of_view_is_said_to_the_tap(tmp_path):
    async with running(tmp_path) as room:
        await attend(room)
        await room.feed(1)
        tap = room.call.open_taps[0]
        assert tap.preferred_px == 80.0
        _, stage = next(made for made in room.stages.made if made[0] is Modality.FACE)
        stage.face_width_px = None
        await room.feed(1)
        assert tap.preferred_px is None


async def test_a_codec_that_is_not_decoded_is_named_until_frames_come(tmp_path):
    class Undecodable(FakeCall):
        works = False

        def open_video(self, track, permit):
            if not self.works:
                raise UnsupportedCodec("packets without a frame")
            return super().open_audio(track, permit)

    room = Room(tmp_path)
    room.call = room.session._call = Undecodable()
    task = asyncio.create_task(room.session.run())
    await attend(room)
    await room.clock.advance(1.3)
    said = room.sink.data("participant")[-1]
    assert (said["state"], said["reason"]) == ("off", "unsupported_codec")
    room.call.works = True
    await room.feed(3)
    assert room.sink.data("participant")[-1]["state"] == "on"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    room.audit.close()
