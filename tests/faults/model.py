"""What a room's people have declared and published, as the test knows it: what the session should come to."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from sidecar.consent.gate import CONSENT_ATTRIBUTE, parse_consent
from sidecar.types import (
    CallEvent,
    Modality,
    Participant,
    ParticipantChanged,
    ParticipantKind,
    ParticipantLeft,
    Track,
    TrackChanged,
    TrackEnded,
    TrackSource,
)

CONSENTS: Final = ("face,voice,text", "", "face", "face,voice", "voice", "text", "face,smile", "voice,face")
_SOURCES: Final = {Modality.FACE: TrackSource.CAMERA, Modality.VOICE: TrackSource.MICROPHONE}


@dataclass(slots=True)
class PersonModel:
    """One person of the room."""

    identity: str
    present: bool = False
    consent: str = ""
    tracks: dict[str, Track] = field(default_factory=dict)
    """By sid, oldest first."""

    def declared(self) -> frozenset[Modality]:
        """What may be read."""
        return parse_consent(self.consent)[0] if self.present else frozenset()

    def readable(self) -> Iterator[tuple[Modality, Track]]:
        """The taps that should be open once everything works."""
        for modality, source in _SOURCES.items():
            usable = [each for each in self.tracks.values() if each.source is source and not each.muted]
            if usable and modality in self.declared():
                yield modality, usable[-1]


class RoomModel:
    """The people of one room; each change returns the events that tell an observer."""

    def __init__(self, name: str, people: int) -> None:
        self.people = [PersonModel(f"{name}-{number}") for number in range(people)]
        self._sids = count()

    def everything(self) -> list[CallEvent]:
        """What an observer that joins now hears first."""
        events: list[CallEvent] = []
        for person in self.people:
            if person.present:
                events += [self._changed(person), *map(TrackChanged, person.tracks.values())]
        return events

    def declare(self, who: int, choice: int) -> list[CallEvent]:
        """Join or change the consent."""
        person = self._person(who)
        person.present, person.consent = True, CONSENTS[choice % len(CONSENTS)]
        return [self._changed(person)]

    def leave(self, who: int, choice: int) -> list[CallEvent]:
        """Leave; the ends of tracks come before or after."""
        person = self._person(who)
        ends: list[CallEvent] = [TrackEnded(track) for track in person.tracks.values()]
        person.present, person.tracks = False, {}
        gone: list[CallEvent] = [ParticipantLeft(person.identity)]
        return ends + gone if choice % 2 else gone + ends

    def rejoin(self, who: int, choice: int) -> list[CallEvent]:
        """Leave and come back at once with new tracks."""
        left = self.leave(who, choice)
        return left + self.declare(who, choice) + self.publish(who, 0) + self.publish(who, 1)

    def publish(self, who: int, choice: int) -> list[CallEvent]:
        """Publish one more track."""
        person = self._person(who)
        if not person.present:
            return []
        source = TrackSource.MICROPHONE if choice % 2 else TrackSource.CAMERA
        video = source is TrackSource.CAMERA
        track = Track(f"TR_{next(self._sids)}", person.identity, source, muted=False, encrypted=False, video=video)
        person.tracks[track.sid] = track
        return [TrackChanged(track)]

    def unpublish(self, who: int, choice: int) -> list[CallEvent]:
        """End one of the tracks."""
        person = self._person(who)
        if not person.tracks:
            return []
        track = person.tracks.pop(list(person.tracks)[choice % len(person.tracks)])
        return [TrackEnded(track)]

    def mute(self, who: int, choice: int) -> list[CallEvent]:
        """Mute one of the tracks, or unmute it."""
        person = self._person(who)
        if not person.tracks:
            return []
        sid = list(person.tracks)[choice % len(person.tracks)]
        person.tracks[sid] = track = replace(person.tracks[sid], muted=not person.tracks[sid].muted)
        return [TrackChanged(track)]

    def _person(self, who: int) -> PersonModel:
        return self.people[who % len(self.people)]

    def _changed(self, person: PersonModel) -> ParticipantChanged:
        attributes = {CONSENT_ATTRIBUTE: person.consent}
        return ParticipantChanged(Participant(person.identity, ParticipantKind.STANDARD, attributes))
