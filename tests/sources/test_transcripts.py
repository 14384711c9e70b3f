"""Text streams of a room: what is open at once is bounded, per sender and in all; what is not read is closed."""

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.sources.livekit.transcripts import TOPIC, Transcripts
from sidecar.telemetry import Telemetry
from sidecar.types import ParticipantKind, TranscriptOffered
from tests.sources.sdk import People


class FakeReader:
    def __init__(self, pieces: list[str | Exception], attributes: dict[str, str] | None) -> None:
        self.info = SimpleNamespace(attributes=attributes, stream_id="stream")
        self.closed = 0
        self._pieces = pieces

    def __aiter__(self) -> "FakeReader":
        return self

    async def __anext__(self) -> str:
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed += 1


class Rig:
    def __init__(self) -> None:
        self.people = People()
        self.telemetry = Telemetry()
        self.offered: list[TranscriptOffered] = []
        options = LiveKitOptions(transcript_timeout_s=0.05, transcript_bytes=100)
        self.transcripts = Transcripts(
            self.people.room,
            options,
            self.telemetry,
            owner_of={"TR_1": "ann"}.get,
            offer=self.offered.append,
        )

    def open(self, sender: str, *pieces: str | Exception, track: str = "TR_1", final: str = "true") -> FakeReader:
        attributes = {"lk.transcription_final": final, "lk.transcribed_track_id": track, "lk.segment_id": "segment"}
        reader: Any = FakeReader([*pieces, StopAsyncIteration()] if pieces else [], attributes)
        self.people.room._text_stream_handlers[TOPIC](reader, sender)
        return reader

    def dropped(self, reason: str) -> float:
        labels = {"stage": "transcript", "reason": reason}
        return self.telemetry.registry.get_sample_value("sidecar_dropped_total", labels) or 0.0


async def test_a_segment_has_its_owner_and_is_closed_when_it_was_read() -> None:
    rig = Rig()
    rig.people.be_there("agent")
    reader = rig.open("agent", "so ", "good")
    (offer,) = rig.offered
    assert (offer.owner_identity, offer.sender_identity) == ("ann", "agent")
    assert offer.sender_kind is ParticipantKind.STANDARD
    assert await offer.stream.read() == "so good"
    assert (reader.closed, rig.transcripts.open) == (1, 0)


async def test_an_owner_or_sender_that_is_not_there_is_unknown() -> None:
    rig = Rig()
    rig.open("ghost", "words", track="TR_9")
    assert (rig.offered[0].owner_identity, rig.offered[0].sender_kind) == (None, ParticipantKind.OTHER)


async def test_interim_segments_and_those_without_attributes_are_closed_unread() -> None:
    rig = Rig()
    readers = [rig.open("ann", "words", final="false")]
    bare: Any = FakeReader([], None)
    rig.people.room._text_stream_handlers[TOPIC](bare, "ann")
    assert [reader.closed for reader in [*readers, bare]] == [1, 1]
    assert rig.offered == []
    assert rig.dropped("interim") == 2


async def test_a_sender_that_floods_is_cut_and_others_are_heard() -> None:
    rig = Rig()
    flood = [rig.open("flooder", "words") for _ in range(1000)]
    assert len(rig.offered) == 32
    assert [reader.closed for reader in flood] == [0] * 32 + [1] * 968
    assert rig.dropped("queue_full") == 968
    assert rig.open("ann", "words").closed == 0


async def test_many_senders_are_bounded_together() -> None:
    rig = Rig()
    for n in range(1000):
        rig.open(f"guest {n}", "words")
    assert (len(rig.offered), rig.transcripts.open, rig.dropped("queue_full")) == (128, 128, 872)


async def test_what_is_read_or_dropped_makes_room() -> None:
    rig = Rig()
    readers = [rig.open("ann", "words") for _ in range(32)]
    await rig.offered[0].stream.read()
    del rig.offered[:]
    gc.collect()
    assert [reader.closed for reader in readers] == [1] * 32
    assert rig.transcripts.open == 0
    rig.open("ann", "words")
    assert len(rig.offered) == 1


@pytest.mark.parametrize(
    ("pieces", "message"),
    [((), "broke off"), (("a" * 101,), "larger than 100"), (("a", rtc.StreamError("aborted")), "broke off")],
)
async def test_a_segment_that_cannot_be_read_is_closed_and_makes_room(
    pieces: tuple[str | Exception, ...], message: str
) -> None:
    rig = Rig()
    reader = rig.open("ann", *pieces)
    with pytest.raises(TrackUnavailable, match=message):
        await rig.offered[0].stream.read()
    assert (reader.closed, rig.transcripts.open) == (1, 0)


async def test_after_leaving_nothing_is_taken() -> None:
    rig = Rig()
    rig.transcripts.close()
    rig.transcripts.close()
    assert TOPIC not in rig.people.room._text_stream_handlers
