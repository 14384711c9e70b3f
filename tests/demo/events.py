"""Events of a small call, numbered and serialised by the product's own publisher."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.demo.tally import RoomTally
from sidecar.publish.publisher import Envelope, RoomPublisher
from sidecar.schema import Emotions, Episode, Estimate, EventData, ModalityData, ParticipantChange, RoomChange
from sidecar.types import EMOTIONS, AbstainReason, EndReason, EpisodeKind, EpisodePhase, Label, Missing, Modality
from tests.fakes.clock import VirtualClock


class Recorded:
    """An `EventSink` that keeps the bytes as Redis would."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def put(self, envelope: Envelope) -> None:
        self.payloads.append(envelope.payload)


def recorded(events: Sequence[EventData], epoch: str = "1-a") -> list[bytes]:
    sink = Recorded()
    publisher = RoomPublisher("demo", epoch, "w", sink, VirtualClock())
    for event in events:
        publisher.publish(event)
    return sink.payloads


def tallied(*events: EventData) -> RoomTally:
    tally = RoomTally()
    for payload in recorded(events):
        tally.add(payload)
    return tally


def attached() -> RoomChange:
    return RoomChange(room="demo", change="attached")


def consents(identity: str, *modalities: Modality, change: Any = "consent") -> ParticipantChange:
    return ParticipantChange(room="demo", identity=identity, change=change, consent=list(modalities))


def emotions(**some: float) -> Emotions:
    """The named ones, and the rest shared evenly."""
    rest = (1 - sum(some.values())) / (len(EMOTIONS) - len(some))
    return Emotions(**{name: some.get(name, rest) for name in EMOTIONS})


def estimate(identity: str, **changes: Any) -> Estimate:
    """A clear smile, by face and voice."""
    seen = emotions(happiness=0.86, surprise=0.07)
    part = ModalityData(share=0.75, age_s=0.2, quality=0.81, emotions=seen, cues={})
    said = Estimate(
        room="demo",
        identity=identity,
        media_time_s=3.0,
        label=Label.ENGAGED,
        abstained=False,
        abstain_reason=None,
        confidence=0.64,
        engagement=0.91,
        confusion=0.06,
        frustration=0.03,
        valence=0.55,
        arousal=-0.12,
        dominance=0.2,
        emotions=seen,
        granular="delighted",
        blend=None,
        speaking=True,
        modalities={Modality.FACE: part, Modality.VOICE: msgspec.structs.replace(part, share=0.25)},
        missing={Modality.TEXT: Missing.STALE},
        latency_ms=120.0,
        models={},
    )
    return msgspec.structs.replace(said, **changes)


def abstention(identity: str) -> Estimate:
    withheld = ("label", "engagement", "confusion", "frustration", "valence", "arousal", "dominance", "emotions")
    nothing: dict[str, Any] = dict.fromkeys((*withheld, "granular", "speaking"))
    missing = {Modality.TEXT: Missing.NO_CONSENT}
    return estimate(identity, abstained=True, abstain_reason=AbstainReason.THIN, missing=missing, **nothing)


def episode(identity: str, phase: EpisodePhase, duration_s: float, end_reason: EndReason | None = None) -> Episode:
    return Episode(
        room="demo",
        identity=identity,
        episode="e1",
        kind=EpisodeKind.ENGAGEMENT_LOW,
        phase=phase,
        probability=0.8,
        confidence=0.7,
        started_media_time_s=1.0,
        duration_s=duration_s,
        evidence={},
        end_reason=end_reason,
    )
