"""Transcripts that other programs send into the room as text streams on the topic `lk.transcription`."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Final

from livekit import rtc

from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit.mapping import kind_of
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.telemetry import Telemetry
from sidecar.types import ParticipantKind, TranscriptOffered

TOPIC: Final = "lk.transcription"


class OfferedText:
    """A text stream that may be read once. Where nobody reads it, it is closed as soon as it is forgotten."""

    def __init__(self, reader: rtc.TextStreamReader, options: LiveKitOptions) -> None:
        self._reader = reader
        self._options = options
        weakref.finalize(self, reader.close)

    async def read(self) -> str:
        """The whole segment. Raises `TrackUnavailable` where it breaks off, takes too long or is too large."""
        pieces: list[str] = []
        size = 0
        try:
            async with asyncio.timeout(self._options.transcript_timeout_s):
                async for piece in self._reader:
                    pieces.append(piece)
                    size += len(piece.encode())
                    if size > self._options.transcript_bytes:
                        raise TrackUnavailable(
                            f"a transcript segment is larger than {self._options.transcript_bytes} bytes"
                        )
        except (TimeoutError, rtc.StreamError) as error:
            raise TrackUnavailable(f"a transcript segment broke off: {error or 'timeout'}") from error
        finally:
            self._reader.close()
        return "".join(pieces)


class Transcripts:
    """Offers each final segment that arrives in a room; interim ones are closed unread and counted."""

    def __init__(
        self,
        room: rtc.Room,
        options: LiveKitOptions,
        telemetry: Telemetry,
        offer: Callable[[TranscriptOffered], None],
    ) -> None:
        self._room = room
        self._options = options
        self._telemetry = telemetry
        self._offer = offer
        room.register_text_stream_handler(TOPIC, self._opened)

    def _opened(self, reader: rtc.TextStreamReader, sender_identity: str) -> None:
        attributes = reader.info.attributes or {}
        if attributes.get("lk.transcription_final") != "true":
            self._telemetry.dropped.labels("transcript", "interim").inc()
            reader.close()
            return
        self._telemetry.received.labels("segments").inc()
        sender = self._room.remote_participants.get(sender_identity)
        self._offer(
            TranscriptOffered(
                segment_id=attributes.get("lk.segment_id") or reader.info.stream_id,
                sender_identity=sender_identity,
                sender_kind=kind_of(sender) if sender is not None else ParticipantKind.OTHER,
                owner_identity=self._owner(attributes.get("lk.transcribed_track_id")),
                stream=OfferedText(reader, self._options),
            )
        )

    def _owner(self, track_sid: str | None) -> str | None:
        for participant in self._room.remote_participants.values():
            if track_sid in participant.track_publications:
                return participant.identity
        return None
