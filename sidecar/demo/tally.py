"""What a subscriber knows of one room from its published events alone."""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from sidecar.schema import Episode, Estimate, Event, ParticipantChange, RoomChange
from sidecar.types import EpisodePhase, Modality

_NEWS: Final = 4


@dataclass(slots=True)
class PersonTally:
    """One person as published so far."""

    consent: tuple[Modality, ...] = ()
    newest: Estimate | None = None
    newest_wall_time_s: float = 0.0
    """When it was published."""
    estimates: int = 0
    abstained: int = 0
    latency_sum_ms: float = 0.0
    episodes: dict[str, Episode] = field(default_factory=dict)
    """Those under way, by their id."""
    present: bool = True

    @property
    def abstained_share(self) -> float:
        """0-1 of the estimates; 0 before the first."""
        return self.abstained / self.estimates if self.estimates else 0.0

    @property
    def mean_latency_ms(self) -> float:
        """Over all estimates; 0 before the first."""
        return self.latency_sum_ms / self.estimates if self.estimates else 0.0


@dataclass(slots=True)
class RoomTally:
    """One room as published so far."""

    attached: bool = False
    first_wall_time_s: float | None = None
    newest_wall_time_s: float = 0.0
    """When the first and the newest event were published."""
    epoch: str = ""
    sequence: int = 0
    """Of the newest event in the newest epoch."""
    missed: int = 0
    """Numbers that were skipped, over all epochs."""
    types: Counter[str] = field(default_factory=Counter)
    people: dict[str, PersonTally] = field(default_factory=dict)
    news: deque[str] = field(default_factory=lambda: deque(maxlen=_NEWS))
    """The newest changes of presence, consent, modalities and episodes, in words."""

    @property
    def observed_s(self) -> float:
        """From the first event to the newest."""
        return 0.0 if self.first_wall_time_s is None else self.newest_wall_time_s - self.first_wall_time_s

    def add(self, payload: bytes) -> None:
        """Count one event, as it came from Redis. Raises `msgspec.ValidationError` where it breaks the schema."""
        event = msgspec.json.decode(payload, type=Event)
        if not self._numbered(event):
            return
        self.types[event.type] += 1
        self.newest_wall_time_s = datetime.fromisoformat(event.time).timestamp()
        self.first_wall_time_s = self.first_wall_time_s or self.newest_wall_time_s
        match event.type:
            case "engagement.estimate.v1":
                self._estimate(msgspec.convert(event.data, Estimate))
            case "engagement.episode.v1":
                self._episode(msgspec.convert(event.data, Episode))
            case "engagement.participant.v1":
                self._participant(msgspec.convert(event.data, ParticipantChange))
            case "engagement.room.v1":
                self._room(msgspec.convert(event.data, RoomChange))

    def _numbered(self, event: Event) -> bool:
        """Keep account of `sequence`; False for an event that was delivered before."""
        sequence = int(event.sequence)
        if event.epoch != self.epoch:
            self.epoch, self.sequence = event.epoch, 0
        if sequence <= self.sequence:
            return False
        self.missed += sequence - self.sequence - 1
        self.sequence = sequence
        return True

    def _person(self, identity: str) -> PersonTally:
        return self.people.setdefault(identity, PersonTally())

    def _estimate(self, estimate: Estimate) -> None:
        person = self._person(estimate.identity)
        person.newest, person.newest_wall_time_s = estimate, self.newest_wall_time_s
        person.estimates += 1
        person.abstained += estimate.abstained
        person.latency_sum_ms += estimate.latency_ms

    def _episode(self, episode: Episode) -> None:
        episodes = self._person(episode.identity).episodes
        kind = episode.kind.replace("_", " ")
        if episode.phase is EpisodePhase.END:
            episodes.pop(episode.episode, None)
            reason = f" ({_words(episode.end_reason)})" if episode.end_reason else ""
            self.news.append(f"{episode.identity}: {kind} ends after {episode.duration_s:.0f} s{reason}")
            return
        if episode.phase is EpisodePhase.START:
            self.news.append(f"{episode.identity}: {kind} begins")
        episodes[episode.episode] = episode

    def _participant(self, change: ParticipantChange) -> None:
        person = self._person(change.identity)
        before, person.consent = person.consent, tuple(change.consent)
        person.present = change.change != "left"
        match change.change:
            case "attached":
                said = f"is here and consents to {_listed(change.consent)}"
            case "consent":
                said = f"consents to {_listed(change.consent)}"
                said += (
                    f", no longer to {_listed(gone)}"
                    if (gone := [m for m in before if m not in change.consent])
                    else ""
                )
            case "modality":
                said = f"{change.modality} is {change.state}"
            case "left":
                said = "left"
        self.news.append(f"{change.identity}: {said}" + (f" ({_words(change.reason)})" if change.reason else ""))

    def _room(self, change: RoomChange) -> None:
        self.attached = change.change != "detached"
        self.news.append(f"room: {change.change}" + (f" ({_words(change.reason)})" if change.reason else ""))


def _listed(modalities: list[Modality]) -> str:
    return ", ".join(modalities) or "nothing"


def _words(reason: str) -> str:
    return reason.replace("_", " ")
