"""What happens in a LiveKit room, as the sidecar's call events."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from livekit import rtc

from sidecar.sources.livekit.backlog import Backlog
from sidecar.sources.livekit.handlers import Handlers
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

_DEPARTURE_GRACE_S: Final = 0.5
_ANNOUNCED_AGAIN_S: Final = 1.0


class RoomEvents:
    """The events of one room. Per person they are in order; what is unread is bounded by the people there are.

    When the SDK has to join again it reports every participant as gone and then as new: those who are back by the end
    of it never left. Their tracks do end and begin again, because the subscriptions did.

    A large room is read one person at a time: people who were there already are announced as the reader gets to
    them, or before anything else that happens to them.
    """

    def __init__(self, room: rtc.Room, telemetry: Telemetry) -> None:
        self._room = room
        self._telemetry = telemetry
        self._backlog = Backlog(self._dropped)
        self._owners: dict[str, str] = {}  # identities by sid of their tracks
        self._unannounced: dict[str, None] = {}  # identities of people who were there already, in order
        self._reconnecting = False
        self._departing: dict[str, asyncio.TimerHandle] = {}
        self._interrupted: dict[str, asyncio.TimerHandle] = {}  # by sid of the track
        self._handlers = Handlers(
            room,
            {
                "participant_connected": self._participant,
                "participant_disconnected": self._participant_left,
                "participant_attributes_changed": self._attributes,
                "track_published": self._track,
                "track_unpublished": self._track_ended,
                "track_muted": self._track_muted,
                "track_unmuted": self._track_muted,
                "reconnecting": self._reconnects,
                "reconnected": self._reconnected,
                "disconnected": self._disconnected,
            },
        )

    def begin(self) -> None:
        """Announce who and what is there already. Called at once after connecting, before any other event can come."""
        people = self._room.remote_participants
        self._owners.update({sid: person.identity for person in people.values() for sid in person.track_publications})
        self._unannounced = dict.fromkeys(people)

    def close(self) -> None:
        """Take nothing more from the room. What came before can still be read. Idempotent."""
        self._handlers.close()
        for timer in self._interrupted.values():
            timer.cancel()
        self._interrupted.clear()
        for identity in list(self._departing):
            self._stays(identity)
        self._disconnected(rtc.DisconnectReason.CLIENT_INITIATED)

    def owner_of(self, track_sid: str | None) -> str | None:
        """Identity of the person who publishes a track, or None where no such track is known."""
        return None if track_sid is None else self._owners.get(track_sid)

    def offer(self, transcript: TranscriptOffered) -> None:
        """Add a transcript."""
        self._announce(transcript.owner_identity)
        self._backlog.put(transcript)

    async def __aiter__(self) -> AsyncIterator[CallEvent]:
        while True:
            if not len(self._backlog) and self._unannounced:
                self._announce(next(iter(self._unannounced)))
            event = await self._backlog.get()
            yield event
            if isinstance(event, CallEnded):
                return
            await asyncio.sleep(0)  # a room of thousands must not hold up the event loop while it is read

    def interrupted(self, publication: rtc.RemoteTrackPublication) -> None:
        """Announce a track again in a moment, if it is still there: its taps ended, and it may be opened again."""
        if not self._backlog.ended and publication.sid not in self._interrupted:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(_ANNOUNCED_AGAIN_S, self._announce_track, publication.sid)
            self._interrupted[publication.sid] = timer

    def _dropped(self, event: CallEvent) -> None:
        if not isinstance(event, CallEnded):
            self._telemetry.dropped.labels("call_events", "superseded").inc()

    def _announce(self, identity: str | None) -> None:
        """Add a person who was there already, in their present state, before anything else about them."""
        if identity not in self._unannounced:
            return
        del self._unannounced[identity]
        participant = self._room.remote_participants.get(identity)
        if participant is not None:
            self._backlog.put(ParticipantChanged(participant_of(participant)))
            for publication in participant.track_publications.values():
                self._backlog.put(TrackChanged(track_of(publication, participant)))

    def _announce_track(self, sid: str) -> None:
        del self._interrupted[sid]
        participant = self._room.remote_participants.get(self._owners.get(sid, ""))
        publication = participant.track_publications.get(sid) if participant is not None else None
        if participant is not None and publication is not None:
            self._track(publication, participant)

    def _participant(self, participant: rtc.RemoteParticipant) -> None:
        self._stays(participant.identity)
        if participant.identity in self._unannounced:
            self._announce(participant.identity)
        else:
            self._backlog.put(ParticipantChanged(participant_of(participant)))

    def _participant_left(self, participant: rtc.RemoteParticipant) -> None:
        identity = participant.identity
        for sid in participant.track_publications:
            self._owners.pop(sid, None)
        if participant.disconnect_reason:
            self._depart(identity)
        else:  # without a reason from the server: perhaps the SDK is about to join again, which it reports afterwards
            self._stays(identity)
            loop = asyncio.get_running_loop()
            self._departing[identity] = loop.call_later(_DEPARTURE_GRACE_S, self._settle_departure, identity)

    def _stays(self, identity: str) -> None:
        timer = self._departing.pop(identity, None)
        if timer is not None:
            timer.cancel()

    def _depart(self, identity: str) -> None:
        self._unannounced.pop(identity, None)
        self._backlog.put(ParticipantLeft(identity))

    def _settle_departure(self, identity: str) -> None:
        if not self._reconnecting and self._departing.pop(identity, None) is not None:
            self._depart(identity)

    def _reconnects(self) -> None:
        self._reconnecting = True

    def _reconnected(self) -> None:
        self._reconnecting = False
        for identity in list(self._departing):
            self._stays(identity)
            self._depart(identity)

    def _attributes(self, _changed: Mapping[str, str], participant: rtc.Participant) -> None:
        if isinstance(participant, rtc.RemoteParticipant):
            self._participant(participant)

    def _track(self, publication: rtc.TrackPublication, participant: rtc.RemoteParticipant) -> None:
        self._owners[publication.sid] = participant.identity
        self._announce(participant.identity)
        self._backlog.put(TrackChanged(track_of(publication, participant)))

    def _track_ended(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        self._owners.pop(publication.sid, None)
        self._announce(participant.identity)
        self._backlog.put(TrackEnded(track_of(publication, participant)))

    def _track_muted(self, participant: rtc.Participant, publication: rtc.TrackPublication) -> None:
        if isinstance(participant, rtc.RemoteParticipant):
            self._track(publication, participant)

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        self._unannounced.clear()
        self._backlog.put(CallEnded(reason_of(reason)))
