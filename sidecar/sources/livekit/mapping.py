"""LiveKit's participants, publications and reasons in the sidecar's own types."""

from collections.abc import Mapping
from typing import Final

from livekit import rtc

from sidecar.sources.livekit.layers import VideoQuality
from sidecar.types import Participant, ParticipantKind, Track, TrackSource

_KINDS: Final[Mapping[int, ParticipantKind]] = {
    rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD: ParticipantKind.STANDARD,
    rtc.ParticipantKind.PARTICIPANT_KIND_SIP: ParticipantKind.SIP,
    rtc.ParticipantKind.PARTICIPANT_KIND_INGRESS: ParticipantKind.INGRESS,
    rtc.ParticipantKind.PARTICIPANT_KIND_AGENT: ParticipantKind.AGENT,
}
_SOURCES: Final[Mapping[tuple[int, int], TrackSource]] = {
    (rtc.TrackKind.KIND_VIDEO, rtc.TrackSource.SOURCE_CAMERA): TrackSource.CAMERA,
    (rtc.TrackKind.KIND_AUDIO, rtc.TrackSource.SOURCE_MICROPHONE): TrackSource.MICROPHONE,
}

QUALITIES: Final = {
    VideoQuality.LOW: rtc.VideoQuality.VIDEO_QUALITY_LOW,
    VideoQuality.MEDIUM: rtc.VideoQuality.VIDEO_QUALITY_MEDIUM,
    VideoQuality.HIGH: rtc.VideoQuality.VIDEO_QUALITY_HIGH,
}


def participant_of(participant: rtc.Participant) -> Participant:
    """The participant as it is now."""
    return Participant(participant.identity, kind_of(participant), participant.attributes)


def kind_of(participant: rtc.Participant) -> ParticipantKind:
    """Kinds that LiveKit adds later are `OTHER`: never analysed."""
    return _KINDS.get(participant.kind, ParticipantKind.OTHER)


def track_of(publication: rtc.TrackPublication, participant: rtc.Participant) -> Track:
    """The published track as it is now. A camera source that carries audio is no camera."""
    return Track(
        sid=publication.sid,
        identity=participant.identity,
        source=_SOURCES.get((publication.kind, publication.source), TrackSource.OTHER),
        muted=publication.muted,
        encrypted=is_encrypted(publication),
        video=publication.kind == rtc.TrackKind.KIND_VIDEO,
    )


def is_encrypted(publication: rtc.TrackPublication) -> bool:
    """True where frames are end-to-end encrypted, so that without the key nothing can be decoded."""
    return publication.encryption_type != rtc.EncryptionType.NONE


def reason_of(reason: rtc.DisconnectReason.ValueType) -> str:
    """LiveKit's name for the reason, in lower case: `duplicate_identity`, `room_deleted`, ..."""
    try:
        return rtc.DisconnectReason.Name(reason).lower()
    except ValueError:
        return f"reason_{reason}"
