"""The SDK's own objects without its native part: people, publications and a room whose events a test emits."""

from collections.abc import Mapping

from livekit import rtc
from livekit.rtc._proto import participant_pb2, track_pb2


def publication(sid: str, *, video: bool = True, muted: bool = False, simulcasted: bool = True) -> rtc.TrackPublication:
    """A camera or microphone as its publication is announced."""
    info = track_pb2.TrackPublicationInfo(
        sid=sid,
        name="",
        kind=rtc.TrackKind.KIND_VIDEO if video else rtc.TrackKind.KIND_AUDIO,
        source=rtc.TrackSource.SOURCE_CAMERA if video else rtc.TrackSource.SOURCE_MICROPHONE,
        simulcasted=simulcasted,
        width=0,
        height=0,
        mime_type="video/VP8" if video else "audio/opus",
        muted=muted,
        remote=True,
        encryption_type=rtc.EncryptionType.NONE,
    )
    owned = track_pb2.OwnedTrackPublication(info=info)
    owned.handle.id = 0
    return rtc.RemoteTrackPublication(owned)


class People:
    """A room's participants, who come, change and go as the SDK would report it."""

    def __init__(self) -> None:
        self.room = rtc.Room()

    def be_there(
        self, identity: str, attributes: Mapping[str, str] | None = None, tracks: tuple[str, ...] = ()
    ) -> rtc.RemoteParticipant:
        """Be in the room without an event, as those who were there before the observer joined."""
        info = participant_pb2.ParticipantInfo(
            sid=f"PA_{identity}",
            identity=identity,
            name="",
            metadata="",
            attributes=attributes or {},
            kind=rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
        )
        owned = participant_pb2.OwnedParticipant(info=info)
        owned.handle.id = 0
        participant = rtc.RemoteParticipant(owned)
        for sid in tracks:
            participant._track_publications[sid] = publication(sid)
        self.room._remote_participants[identity] = participant
        return participant

    def join(self, identity: str, **attributes: str) -> None:
        self.room.emit("participant_connected", self.be_there(identity, attributes))

    def leave(self, identity: str, reason: int = rtc.DisconnectReason.CLIENT_INITIATED) -> None:
        participant = self.room._remote_participants.pop(identity)
        participant._info.disconnect_reason = reason
        for sid in list(participant.track_publications):
            self.room.emit("track_unpublished", participant._track_publications.pop(sid), participant)
        self.room.emit("participant_disconnected", participant)

    def set_attributes(self, identity: str, **attributes: str) -> None:
        participant = self.room._remote_participants[identity]
        participant._info.attributes.clear()
        participant._info.attributes.update(attributes)
        self.room.emit("participant_attributes_changed", attributes, participant)

    def publish(self, identity: str, sid: str) -> None:
        participant = self.room._remote_participants[identity]
        participant._track_publications[sid] = publication(sid)
        self.room.emit("track_published", participant._track_publications[sid], participant)

    def unpublish(self, identity: str, sid: str) -> None:
        participant = self.room._remote_participants[identity]
        self.room.emit("track_unpublished", participant._track_publications.pop(sid), participant)

    def mute(self, identity: str, sid: str, muted: bool = True) -> None:
        participant = self.room._remote_participants[identity]
        participant._track_publications[sid]._info.muted = muted
        self.room.emit("track_muted" if muted else "track_unmuted", participant, participant._track_publications[sid])
