"""What a subscriber knows from the events alone: nothing is counted twice, nothing that is missing goes unsaid."""

import msgspec
import pytest

from sidecar.demo.summary import successful
from sidecar.demo.tally import RoomTally
from sidecar.types import EndReason, EpisodePhase, Modality
from tests.demo.events import abstention, attached, consents, episode, estimate, recorded, tallied


def test_estimates_abstentions_and_latency_are_counted_by_person():
    tally = tallied(
        estimate("ada"), abstention("ada"), estimate("ada", latency_ms=60.0), abstention("ada"), estimate("grace")
    )
    ada = tally.people["ada"]
    assert (ada.estimates, ada.abstained_share, ada.mean_latency_ms) == (4, 0.5, 105.0)
    assert tally.types == {"engagement.estimate.v1": 5}
    assert successful(tally, ["ada", "grace"])
    assert not successful(tally, ["ada", "grace", "joan"])


def test_an_event_delivered_twice_counts_once_and_a_hole_is_seen():
    payloads = recorded([attached(), *(estimate("ada") for _ in range(6))])
    tally = RoomTally()
    for payload in (*payloads[:3], payloads[1], payloads[2], *payloads[5:]):
        tally.add(payload)
    assert (tally.sequence, tally.missed, tally.people["ada"].estimates) == (7, 2, 4)


def test_a_new_epoch_counts_from_one():
    tally = RoomTally()
    for payload in (*recorded([attached(), estimate("ada")]), *recorded([attached()], epoch="2-b")):
        tally.add(payload)
    assert (tally.epoch, tally.sequence, tally.missed) == ("2-b", 1, 0)


def test_an_episode_is_under_way_until_its_end():
    begins = episode("ada", EpisodePhase.START, 0.0)
    goes_on = episode("ada", EpisodePhase.UPDATE, 4.0)
    tally = tallied(begins, goes_on)
    assert [one.duration_s for one in tally.people["ada"].episodes.values()] == [4.0]
    tally = tallied(begins, goes_on, episode("ada", EpisodePhase.END, 5.0, EndReason.RECOVERED))
    assert tally.people["ada"].episodes == {}
    assert list(tally.news) == ["ada: engagement low begins", "ada: engagement low ends after 5 s (recovered)"]


def test_news_say_what_is_no_longer_consented_to():
    tally = tallied(consents("ada", Modality.FACE, Modality.VOICE, change="attached"), consents("ada", Modality.FACE))
    assert tally.people["ada"].consent == (Modality.FACE,)
    assert tally.news[-1] == "ada: consents to face, no longer to voice"


def test_an_event_against_the_schema_is_refused():
    payload = recorded([estimate("ada")])[0].replace(b'"confidence":0.64', b'"confidence":1.64')
    with pytest.raises(msgspec.ValidationError, match="confidence"):
        RoomTally().add(payload)
