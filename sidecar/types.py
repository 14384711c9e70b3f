"""The values that travel between stages. Frozen, with unit, dtype and shape on every field."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.errors import PermitRevoked

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]

SAMPLE_RATE_HZ: Final = 16_000
"""Sample rate of all audio inside the sidecar."""

EMOTIONS: Final = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The base emotions, in the order of every array of emotion probabilities."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every stage's own settings; `config.py` assembles them and refuses unknown keys."""


class Modality(StrEnum):
    """What a person can consent to, separately."""

    FACE = "face"
    VOICE = "voice"
    TEXT = "text"


class Permit:
    """Leave to analyse one modality of one person in one room, until it is revoked.

    Made and revoked only by `consent/gate.py`. Never revived: a renewed consent is a new permit.
    Every media unit and every prediction carries the permit it rests on.
    """

    __slots__ = ("_live", "id", "identity", "modality")

    def __init__(self, identity: str, modality: Modality) -> None:
        self.id = secrets.token_hex(8)
        self.identity = identity
        self.modality = modality
        self._live = True

    @property
    def live(self) -> bool:
        """True until the permit is revoked."""
        return self._live

    def revoke(self) -> None:
        """End the permit for good. Idempotent."""
        self._live = False

    def check(self) -> None:
        """Raise `PermitRevoked` unless the permit is live."""
        if not self._live:
            raise PermitRevoked(f"permit {self.id} for {self.modality} was revoked")

    def __repr__(self) -> str:
        return f"Permit({self.id}, {self.modality}, {'live' if self._live else 'revoked'})"


class Missing(StrEnum):
    """Why a modality contributes nothing to an estimate (published as `missing`)."""

    NO_CONSENT = "no_consent"
    NO_TRACK = "no_track"
    MUTED = "muted"
    NO_FACE = "no_face"
    AMBIGUOUS_FACE = "ambiguous_face"
    NO_SPEECH = "no_speech"
    STALE = "stale"
    ENCRYPTED = "encrypted"
    NO_MODEL = "no_model"
    OVERLOAD = "overload"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    UNSUPPORTED_SOURCE = "unsupported_source"
    UNSUPPORTED_CODEC = "unsupported_codec"
    ENGINE_UNAVAILABLE = "engine_unavailable"


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A run of PCM from one participant."""

    samples: FloatArray  # (samples,) float32, mono 16 kHz, nominally -1..1
    media_time_s: float
    """Media time of the first sample, seconds since the epoch began."""
    arrived_s: float
    """Monotonic time at which the last sample arrived."""
    permit: Permit
    """For `voice`, or for `text` where only own recognition may use it."""

    @property
    def end_s(self) -> float:
        """Media time just after the last sample."""
        return self.media_time_s + len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """A fixed span of one participant's audio with enough speech in it."""

    samples: FloatArray  # (48000,) float32, mono 16 kHz
    media_from_s: float
    media_to_s: float
    arrived_s: float
    """Monotonic arrival of the newest sample."""
    speech_s: float
    """Seconds of speech in the window."""
    quality: float
    """0-1 from noise, level and clipping."""
    cues: Mapping[str, float | None]
    """`pitch_hz`, `pitch_range_semitones`, `level_db`, `speech_share`."""
    permit: Permit


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One decoded picture from a participant's camera."""

    rgb: ByteArray  # (height, width, 3) uint8, upright
    media_time_s: float
    arrived_s: float
    permit: Permit


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """The aligned main face of one frame."""

    luma: ByteArray  # (48, 48) uint8, BT.601 luma, framed as FER+
    cues: Mapping[str, float]
    """`smile brow_furrow eyes_open mouth_open gaze_on` 0-1; `yaw_deg pitch_deg roll_deg`."""
    quality: float
    """0-1 from blur, size, light and pose."""
    tracklet: int
    """Number of the tracklet within its participant."""
    media_time_s: float
    arrived_s: float
    permit: Permit


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """A final piece of one person's words."""

    id: str
    text: str
    media_time_s: float
    """Media time at which the segment became final here."""
    arrived_s: float
    permit: Permit


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """What an encoder says of one unit, in the labels of its own corpus."""

    logits: FloatArray  # (labels,) float32, order of the manifest's `labels`
    embedding: FloatArray  # (width,) float32
    valence: float | None = None
    """-1..1, or None where the model has no such head (then it is derived from the emotions)."""
    arousal: float | None = None
    dominance: float | None = None
    sentiment: float | None = None
    """-1..1, text only."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One modality's calibrated evidence about one person at one moment."""

    modality: Modality
    probabilities: FloatArray  # (8,) float32 over EMOTIONS, sums to 1
    expressible: NDArray[np.bool_]  # (8,) which emotions this expert has labels for
    valence: float
    arousal: float
    dominance: float
    derived: bool
    """True where valence, arousal and dominance are expectations over the emotions, not heads."""
    quality: float
    """0-1, of the unit that was encoded."""
    cues: Mapping[str, float | str | None]
    media_time_s: float
    """End of the unit that was encoded."""
    arrived_s: float
    model: str
    """Name and version from the manifest."""
    permit: Permit
    embedding: FloatArray = field(repr=False)  # (width,) float32
    familiar: bool = True
    """False where the model's input was unlike what it was trained on."""


class Label(StrEnum):
    """The one word a coach widget shows."""

    ENGAGED = "engaged"
    DISENGAGED = "disengaged"
    CONFUSED = "confused"


class AbstainReason(StrEnum):
    """Why the sidecar says nothing about a person at this moment."""

    THIN = "thin"
    CONTRADICTORY = "contradictory"
    OUT_OF_DISTRIBUTION = "out_of_distribution"


@dataclass(frozen=True, slots=True)
class ModalityEvidence:
    """One modality's part in an estimate."""

    share: float
    """0-1; the shares of the modalities present sum to 1."""
    age_s: float
    quality: float
    emotions: FloatArray  # (8,) float32 over EMOTIONS
    cues: Mapping[str, float | str | None]
    model: str


@dataclass(frozen=True, slots=True)
class FusedEstimate:
    """What the evidence of all modalities says about one person at one second."""

    media_time_s: float
    emotions: FloatArray  # (8,) float32 over EMOTIONS, sums to 1
    valence: float
    arousal: float
    dominance: float
    engagement: float
    confusion: float
    frustration: float
    confidence: float
    abstain_reason: AbstainReason | None
    speaking: bool | None
    evidence: Mapping[Modality, ModalityEvidence]
    newest_arrived_s: float
    """Monotonic arrival of the newest frame, sample or segment used."""
    permits: tuple[Permit, ...]
    """All that the estimate rests on; it may be published only while every one is live."""

    def check(self) -> None:
        """Raise `PermitRevoked` unless every permit is live."""
        for permit in self.permits:
            permit.check()


class EpisodeKind(StrEnum):
    ENGAGEMENT_LOW = "engagement_low"
    FRUSTRATION_SPIKE = "frustration_spike"
    CONFUSION = "confusion"


class EpisodePhase(StrEnum):
    START = "start"
    UPDATE = "update"
    END = "end"


class EndReason(StrEnum):
    RECOVERED = "recovered"
    LEFT = "left"
    CONSENT_REVOKED = "consent_revoked"
    EVIDENCE_LOST = "evidence_lost"
    DETACHED = "detached"


@dataclass(frozen=True, slots=True)
class EpisodeChange:
    """A start, update or end of a span in which a condition held."""

    episode: str
    """Identifier of the episode, the same from start to end."""
    kind: EpisodeKind
    phase: EpisodePhase
    probability: float
    confidence: float
    started_media_time_s: float
    duration_s: float
    evidence: Mapping[Modality, float]
    """Each modality's mean share while the episode lasts."""
    end_reason: EndReason | None
    media_time_s: float
    permits: tuple[Permit, ...]


class TrackSource(StrEnum):
    """LiveKit's track sources, as far as the sidecar tells them apart."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    OTHER = "other"
    """Screen shares and unknown sources: never opened."""


class ParticipantKind(StrEnum):
    STANDARD = "standard"
    SIP = "sip"
    INGRESS = "ingress"
    AGENT = "agent"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Participant:
    """One person or program in the call."""

    identity: str
    kind: ParticipantKind
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Track:
    """One published track."""

    sid: str
    identity: str
    source: TrackSource
    muted: bool
    encrypted: bool
    video: bool = True
    """False for audio; tells which modality an unsupported source would have served."""


@dataclass(frozen=True, slots=True)
class ParticipantChanged:
    """A participant joined, was there already, or changed attributes."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    identity: str


@dataclass(frozen=True, slots=True)
class TrackChanged:
    """A track was published, muted or unmuted."""

    track: Track


@dataclass(frozen=True, slots=True)
class TrackEnded:
    """A track was unpublished."""

    track: Track


class TextStream(Protocol):
    """The words of one transcript segment, not yet read."""

    async def read(self) -> str:
        """The whole segment, once it is complete. Raises `TrackUnavailable` where it breaks off."""
        ...


@dataclass(frozen=True, slots=True)
class TranscriptOffered:
    """A final transcript segment that may be read once its owner's permit is known."""

    segment_id: str
    sender_identity: str
    sender_kind: ParticipantKind
    owner_identity: str | None
    """Owner of `lk.transcribed_track_id`; None where no such track is known."""
    stream: TextStream


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Nothing more will come from this call."""

    reason: str


CallEvent = ParticipantChanged | ParticipantLeft | TrackChanged | TrackEnded | TranscriptOffered | CallEnded


def emotions_by_name(probabilities: FloatArray) -> dict[str, float]:
    """The published form of an array over EMOTIONS, rounded to 4 decimals."""
    return {name: round(float(value), 4) for name, value in zip(EMOTIONS, probabilities, strict=True)}
