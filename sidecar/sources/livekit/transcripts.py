"""Transcripts that other programs send into the room as text streams on the topic `lk.transcription`."""

import asyncio
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Final

from livekit import rtc

from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit.mapping import kind_of
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.telemetry import Telemetry
from sidecar.types import ParticipantKind, TranscriptOffered

TOPIC: Final = "lk.transcription"

_OPEN_PER_SENDER: Final = 32
_OPEN: Final = 128
"""Open text streams: each listens to all events of the SDK until it is read or closed. One agent may transcribe a whole
room, so a sender has more than one; a sender that floods does not keep out the others."""


class OfferedText:
    """A text stream that may be read once. If it is never read, it is closed when it is dropped."""

    def __init__(
        self, reader: rtc.TextStreamReader, options: LiveKitOptions, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._reader = reader
        self._options = options
        self._close = weakref.finalize(self, _close, reader, on_close)

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
            self.close()
        return "".join(pieces)

    def close(self) -> None:
        """Give the stream up: a read that waits ends with what has arrived. Idempotent."""
        self._close()


def _close(reader: rtc.TextStreamReader, on_close: Callable[[], None]) -> None:
    reader.close()
    on_close()


class Transcripts:
    """Offers each final segment that arrives in a room; interim ones are closed unread and counted, and so are those
    of a sender with too many open ones."""

    def __init__(
        self,
        room: rtc.Room,
        options: LiveKitOptions,
        telemetry: Telemetry,
        *,
        owner_of: Callable[[str | None], str | None],
        offer: Callable[[TranscriptOffered], None],
    ) -> None:
        """`owner_of` tells who publishes the track of a sid."""
        self._room = room
        self._options = options
        self._telemetry = telemetry
        self._owner_of = owner_of
        self._offer = offer
        self._open: Counter[str] = Counter()
        room.register_text_stream_handler(TOPIC, self._opened)

    @property
    def open(self) -> int:
        """Streams that were offered and are neither read nor closed."""
        return self._open.total()

    def close(self) -> None:
        """Take no more. Idempotent."""
        self._room.unregister_text_stream_handler(TOPIC)

    def _opened(self, reader: rtc.TextStreamReader, sender_identity: str) -> None:
        attributes = reader.info.attributes or {}
        if attributes.get("lk.transcription_final") != "true":
            return self._refuse(reader, "interim")
        self._telemetry.received.labels("segments").inc()
        if self._open[sender_identity] >= _OPEN_PER_SENDER or self._open.total() >= _OPEN:
            return self._refuse(reader, "queue_full")
        sender = self._room.remote_participants.get(sender_identity)
        self._open[sender_identity] += 1
        self._offer(
            TranscriptOffered(
                segment_id=attributes.get("lk.segment_id") or reader.info.stream_id,
                sender_identity=sender_identity,
                sender_kind=kind_of(sender) if sender is not None else ParticipantKind.OTHER,
                owner_identity=self._owner_of(attributes.get("lk.transcribed_track_id")),
                stream=OfferedText(reader, self._options, lambda: self._closed(sender_identity)),
            )
        )
        return None

    def _refuse(self, reader: rtc.TextStreamReader, reason: str) -> None:
        self._telemetry.dropped.labels("transcript", reason).inc()
        reader.close()

    def _closed(self, sender_identity: str) -> None:
        self._open[sender_identity] -= 1
        if not self._open[sender_identity]:
            del self._open[sender_identity]
