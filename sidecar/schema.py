"""The published events: CloudEvents 1.0 envelopes and their `data`, and the JSON Schema made from them.

`python -m sidecar.schema` prints the schema committed as `sidecar/events.schema.json`.
"""

import sys
from typing import Annotated, Any, Final, Literal

import msgspec

from sidecar.types import AbstainReason, EndReason, EpisodeKind, EpisodePhase, Label, Missing, Modality

Unit = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Signed = Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0)]


class Emotions(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities of the base emotions; they sum to 1."""

    neutral: Unit
    happiness: Unit
    surprise: Unit
    sadness: Unit
    anger: Unit
    disgust: Unit
    fear: Unit
    contempt: Unit


class ModalityData(msgspec.Struct, frozen=True, kw_only=True):
    """One modality's part in an estimate; `emotions` are there also when abstaining."""

    share: Unit
    age_s: Seconds
    quality: Unit
    emotions: Emotions
    cues: dict[str, float | str | None]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `engagement.estimate.v1`: expression and engagement of one person at one second."""

    room: str
    identity: str
    media_time_s: Seconds
    label: Label | None
    abstained: bool
    abstain_reason: AbstainReason | None
    confidence: Unit
    engagement: Unit | None
    confusion: Unit | None
    frustration: Unit | None
    valence: Signed | None
    arousal: Signed | None
    dominance: Signed | None
    emotions: Emotions | None
    granular: str | None
    blend: str | None
    speaking: bool | None
    modalities: dict[Modality, ModalityData]
    missing: dict[Modality, Missing]
    latency_ms: Annotated[float, msgspec.Meta(ge=0.0)]
    models: dict[Modality, str]


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `engagement.episode.v1`: a span in which a condition held."""

    room: str
    identity: str
    episode: str
    kind: EpisodeKind
    phase: EpisodePhase
    probability: Unit
    confidence: Unit
    started_media_time_s: Seconds
    duration_s: Seconds
    evidence: dict[Modality, Unit]
    end_reason: EndReason | None


class ParticipantChange(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `engagement.participant.v1`: presence, consent and modalities; never a score."""

    room: str
    identity: str
    change: Literal["attached", "consent", "modality", "left"]
    consent: list[Modality]
    modality: Modality | None = None
    state: Literal["on", "off"] | None = None
    reason: str | None = None


class RoomChange(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `engagement.room.v1`."""

    room: str
    change: Literal["attached", "detached", "gap"]
    reason: str | None = None
    audit_head: str | None = None


EventData = Estimate | Episode | ParticipantChange | RoomChange

EVENT_TYPES: Final[dict[type, str]] = {
    Estimate: "engagement.estimate.v1",
    Episode: "engagement.episode.v1",
    ParticipantChange: "engagement.participant.v1",
    RoomChange: "engagement.room.v1",
}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvents 1.0 envelope in JSON format."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    """`/engagement-sidecar/WORKER`"""
    type: Literal["engagement.estimate.v1", "engagement.episode.v1", "engagement.participant.v1", "engagement.room.v1"]
    subject: str
    """`ROOM/IDENTITY`, each percent-encoded; the room alone for room events."""
    time: str
    """Publication, RFC 3339 UTC with milliseconds."""
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    traceparent: str
    """W3C Trace Context; one trace for each epoch."""
    epoch: str
    """New for each attachment of an observer."""
    sequence: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]*$")]
    """From 1 in each epoch and room, without holes."""
    data: Any
    """One of `EventData`, as `type` says (the JSON Schema binds the two)."""


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of an event: the envelope, with `data` bound to `type`."""
    data_types = tuple(EVENT_TYPES)
    (_, *references), definitions = msgspec.json.schema_components((Event, *data_types), ref_template="#/$defs/{name}")
    envelope = definitions.pop(Event.__name__)
    branches = [
        {"properties": {"type": {"const": EVENT_TYPES[kind]}, "data": reference}}
        for kind, reference in zip(data_types, references, strict=True)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:engagement-sidecar:events:v1",
        "title": "Engagement sidecar event",
        "type": "object",
        "properties": envelope["properties"],
        "required": list(envelope["properties"]),
        "oneOf": branches,
        "$defs": definitions,
    }


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n")
