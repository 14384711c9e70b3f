"""Episodes start once, go on, and end for a reason."""

from collections import Counter
from itertools import count

import msgspec
import numpy as np
import pytest

from sidecar.temporal.episodes import EpisodeOptions, Episodes, Thresholds
from sidecar.types import AbstainReason, EndReason, EpisodeKind, EpisodePhase, Modality, Permit

from .build import FACE_PERMIT, estimate

OPTIONS = EpisodeOptions()
START, UPDATE, END = EpisodePhase.START, EpisodePhase.UPDATE, EpisodePhase.END


def numbered(options=OPTIONS):
    numbers = count(1)
    return Episodes(options, new_id=lambda: f"e{next(numbers)}")


def frustrated(seconds, level=0.8, **more):
    return [estimate(float(second), frustration=level, **more) for second in seconds]


def play(episodes, *runs):
    return [change for run in runs for each in run for change in episodes.advance(each.media_time_s, each)]


def test_a_spell_of_frustration_is_one_episode():
    changes = play(numbered(), frustrated(range(10), 0.1), frustrated(range(10, 30)), frustrated(range(30, 50), 0.1))
    assert Counter(each.phase for each in changes)[START] == 1
    assert (changes[0].phase, changes[-1].phase) == (START, END)
    assert {each.phase for each in changes[1:-1]} == {UPDATE}
    assert {(each.episode, each.kind) for each in changes} == {("e1", EpisodeKind.FRUSTRATION_SPIKE)}
    assert changes[0].started_media_time_s == 10
    assert changes[0].media_time_s == 10 + OPTIONS.minimum_s
    assert changes[-1].end_reason is EndReason.RECOVERED
    assert changes[-1].duration_s == pytest.approx(20 + OPTIONS.recovery_s)
    assert all(each.end_reason is None for each in changes[:-1])


def test_updates_come_no_oftener_than_once_a_second():
    fast = [estimate(n / 10, frustration=0.9) for n in range(200)]
    times = [each.media_time_s for each in play(numbered(), fast)]
    assert min(np.diff(times)) >= 1 - 1e-6


def test_what_is_too_short_is_no_episode():
    assert play(numbered(), frustrated(range(3)), frustrated(range(3, 10), 0.1)) == []


def test_noise_between_the_levels_changes_nothing():
    between = [estimate(float(n), frustration=0.39 + 0.05 * (-1) ** n) for n in range(60)]
    assert play(numbered(), between) == []
    lasting = play(numbered(), frustrated(range(10)), [estimate(10.0 + n, frustration=0.36) for n in range(60)])
    assert Counter(each.phase for each in lasting)[START] == 1
    assert END not in {each.phase for each in lasting}


def test_a_short_dip_does_not_end_it():
    changes = play(numbered(), frustrated(range(10)), frustrated(range(10, 12), 0.1), frustrated(range(12, 20)))
    assert END not in {each.phase for each in changes}


def test_another_episode_waits_for_the_cooldown():
    episodes = numbered()
    first = play(episodes, frustrated(range(10)), frustrated(range(10, 15), 0.1))
    ended_s = first[-1].media_time_s
    again = play(episodes, frustrated(range(15, 45)))
    assert again[0].phase is START
    assert again[0].episode == "e2"
    assert again[0].started_media_time_s >= ended_s + OPTIONS.cooldown_s


def test_one_condition_at_a_time():
    both = [estimate(float(n), frustration=0.9, confusion=0.8, engagement=0.2) for n in range(20)]
    assert {each.kind for each in play(numbered(), both)} == {EpisodeKind.FRUSTRATION_SPIKE}


def test_low_engagement_is_low_engagement():
    away = [estimate(float(n), engagement=0.1) for n in range(10)]
    changes = play(numbered(), away)
    assert changes[0].kind is EpisodeKind.ENGAGEMENT_LOW
    assert changes[0].probability == pytest.approx(0.9)


@pytest.mark.parametrize("silence", ["nothing", "abstaining"])
def test_lost_evidence_ends_it_after_a_while(silence):
    episodes = numbered()
    play(episodes, frustrated(range(10)))
    doubtful = estimate(0.0, abstain_reason=AbstainReason.THIN) if silence == "abstaining" else None
    changes = [change for second in range(10, 30) for change in episodes.advance(float(second), doubtful)]
    assert [(each.phase, each.end_reason, each.media_time_s) for each in changes] == [
        (END, EndReason.EVIDENCE_LOST, 9 + OPTIONS.evidence_lost_s)
    ]


def test_a_short_silence_is_bridged():
    episodes = numbered()
    play(episodes, frustrated(range(10)))
    assert [change for second in range(10, 14) for change in episodes.advance(float(second), None)] == []
    assert play(episodes, frustrated(range(14, 16)))[0].phase is UPDATE


def test_leaving_ends_everything_once():
    episodes = numbered()
    play(episodes, frustrated(range(10)))
    ends = episodes.end_all(EndReason.LEFT, 10.0)
    assert [(each.phase, each.end_reason) for each in ends] == [(END, EndReason.LEFT)]
    assert episodes.end_all(EndReason.LEFT, 11.0) == []


def test_revoking_a_modality_ends_what_ever_used_it():
    voice = Permit("ann", Modality.VOICE)
    episodes = numbered()
    mixed = {Modality.FACE: 0.8, Modality.VOICE: 0.2}
    play(episodes, frustrated(range(2), shares=mixed, permits=(FACE_PERMIT, voice)), frustrated(range(2, 10)))
    voice.revoke()
    (end,) = episodes.end_resting_on(Modality.VOICE, EndReason.CONSENT_REVOKED, 10.0)
    assert (end.phase, end.end_reason) == (END, EndReason.CONSENT_REVOKED)
    assert end.permits == (FACE_PERMIT,)


def test_revoking_another_modality_ends_nothing():
    episodes = numbered()
    play(episodes, frustrated(range(10)))
    assert episodes.end_resting_on(Modality.TEXT, EndReason.CONSENT_REVOKED, 10.0) == []
    assert play(episodes, frustrated(range(10, 11)))[0].phase is UPDATE


def test_revoking_forgets_what_was_about_to_start():
    episodes = numbered()
    play(episodes, frustrated(range(3)))
    assert episodes.end_resting_on(Modality.FACE, EndReason.CONSENT_REVOKED, 3.0) == []
    assert play(episodes, frustrated(range(3, 6))) == []


def test_an_episode_carries_the_permits_and_mean_shares_of_all_its_seconds():
    voice = Permit("ann", Modality.VOICE)
    mixed = {Modality.FACE: 0.5, Modality.VOICE: 0.5}
    changes = play(
        numbered(),
        frustrated(range(4), shares=mixed, permits=(FACE_PERMIT, voice)),
        frustrated(range(4, 8)),
    )
    assert changes[-1].permits == (FACE_PERMIT, voice)
    assert changes[-1].evidence[Modality.VOICE] == pytest.approx(0.25)
    assert sum(changes[-1].evidence.values()) == pytest.approx(1)


def test_levels_must_be_in_order():
    with pytest.raises(ValueError, match="below"):
        Thresholds(start=0.3, stop=0.5)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"confusion": {"start": 0.3, "stop": 0.5}}, EpisodeOptions)
