"""What happens in a LiveKit room, as the sidecar's call events."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from livekit import rtc

from sidecar.sources.livekit.mapping import participant_of, reason_of, track_of
from sidecar.telemetry import Telemetry
from sidecar.types import (
    CallEnded,
    CallEvent,
    ParticipantChanged,
    ParticipantLeft,
    TrackChanged,
    TrackEnded,
    TranscriptOffered,
)

_CAPACITY: Final = 4096
_DOUBT_S: Final = 0.5
_RETELL_S: Final = 1.0  # no tight loop with a server that refuses


class RoomEvents:
    """The events of one room, in order. Bounded: transcripts give way first; a room that floods the rest is ended.

    When the SDK has to join anew it reports everybody as gone and then as new: who is back by the end of it never
    left. Tracks do end and begin again, because their subscriptions did.
    """

    def __init__(self, room: rtc.Room, telemetry: Telemetry) -> None:
        self._room = room
        self._telemetry = telemetry
        self._queue: asyncio.Queue[CallEvent] = asyncio.Queue()
        self._ended = False
        self._reconnecting = False
        self._perhaps_gone: set[str] = set()
        room.on("participant_connected", self._participant)
        room.on("participant_disconnected", self._participant_left)
        room.on("participant_attributes_changed", self._attributes)
        room.on("track_published", self._track)
        room.on("track_unpublished", self._track_ended)
        room.on("track_muted", self._track_muted)
        room.on("track_unmuted", self._track_muted)
        room.on("reconnecting", self._reconnects)
        room.on("reconnected", self._reconnected)
        room.on("disconnected", self._disconnected)

    def begin(self) -> None:
        """Tell who and what is there already. Called at once after connecting, before any other event can come."""
        for participant in self._room.remote_participants.values():
            self._participant(participant)
            for publication in participant.track_publications.values():
                self._track(publication, participant)

    def offer(self, transcript: TranscriptOffered) -> None:
        """Add a transcript, unless its readers are far behind."""
        if self._queue.qsize() < _CAPACITY // 2:
            self._put(transcript)
        else:
            self._telemetry.dropped.labels("transcript", "queue_full").inc()

    async def __aiter__(self) -> AsyncIterator[CallEvent]:
        while True:
            event = await self._queue.get()
            yield event
            if isinstance(event, CallEnded):
                return

    def interrupted(self, publication: rtc.RemoteTrackPublication) -> None:
        """Tell of a track anew in a moment, if it is still there: its taps ended, and it may be opened again."""
        asyncio.get_running_loop().call_later(_RETELL_S, self._retell, publication)

    def _retell(self, publication: rtc.RemoteTrackPublication) -> None:
        for participant in self._room.remote_participants.values():
            if publication.sid in participant.track_publications:
                self._track(publication, participant)

    def _put(self, event: CallEvent) -> None:
        if self._ended:
            return
        if self._queue.qsize() >= _CAPACITY:
            self._telemetry.dropped.labels("call_events", "queue_full").inc()
            event = CallEnded("overload")
        self._ended = isinstance(event, CallEnded)
        self._queue.put_nowait(event)

    def _participant(self, participant: rtc.RemoteParticipant) -> None:
        self._perhaps_gone.discard(participant.identity)
        self._put(ParticipantChanged(participant_of(participant)))

    def _participant_left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.disconnect_reason:
            self._put(ParticipantLeft(participant.identity))
        else:  # without a reason from the server: perhaps the SDK is about to join anew, which it tells afterwards
            self._perhaps_gone.add(participant.identity)
            asyncio.get_running_loop().call_later(_DOUBT_S, self._settle_departures)

    def _reconnects(self) -> None:
        self._reconnecting = True

    def _reconnected(self) -> None:
        self._reconnecting = False
        self._settle_departures()

    def _settle_departures(self) -> None:
        if self._reconnecting:
            return
        for identity in self._perhaps_gone:
            self._put(ParticipantLeft(identity))
        self._perhaps_gone.clear()

    def _attributes(self, _changed: Mapping[str, str], participant: rtc.Participant) -> None:
        if isinstance(participant, rtc.RemoteParticipant):
            self._participant(participant)

    def _track(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        self._put(TrackChanged(track_of(publication, participant)))

    def _track_ended(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        self._put(TrackEnded(track_of(publication, participant)))

    def _track_muted(self, participant: rtc.Participant, publication: rtc.TrackPublication) -> None:
        if isinstance(participant, rtc.RemoteParticipant):
            self._put(TrackChanged(track_of(publication, participant)))

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        self._put(CallEnded(reason_of(reason)))
