"""What a room needs, on tables and on every combination."""

from dataclasses import replace
from functools import partial
from itertools import product

import pytest

from sidecar.dispatch.judgement import JudgementOptions, RoomView, Verdict, judge, retry_delay_s

OPTIONS = JudgementOptions(grace_s=3, confirm_s=2.5, standby_s=6, retry_min_s=2, retry_max_s=8)


NEW_ROOM = RoomView(
    people=True,
    observer=False,
    leased=False,
    leases_trusted=True,
    standby=False,
    youngest_dispatch_s=None,
    unattended_s=0.0,
    attempts=0,
    since_attempt_s=float("inf"),
)
view = partial(replace, NEW_ROOM)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        pytest.param(view(), Verdict.UNATTENDED, id="a new room"),
        pytest.param(view(people=False), Verdict.EMPTY, id="nobody there"),
        pytest.param(view(people=False, observer=True), Verdict.EMPTY, id="only an observer is left"),
        pytest.param(view(people=False, observer=True, youngest_dispatch_s=99), Verdict.EMPTY, id="and its dispatch"),
        pytest.param(view(leased=True), Verdict.ATTENDED, id="a live lease"),
        pytest.param(view(leased=True, people=False), Verdict.ATTENDED, id="a live lease, people not looked at"),
        pytest.param(view(leased=True, leases_trusted=False), Verdict.ATTENDED, id="a lease is always proof of life"),
        pytest.param(view(youngest_dispatch_s=2.9), Verdict.DISPATCHED, id="a worker is on its way"),
        pytest.param(view(youngest_dispatch_s=3.0), Verdict.UNATTENDED, id="a dispatch that found no worker"),
        pytest.param(view(observer=True, unattended_s=2.4), Verdict.DOUBTFUL, id="perhaps only the lease is late"),
        pytest.param(
            view(observer=True, youngest_dispatch_s=60, unattended_s=2.5), Verdict.UNATTENDED, id="a killed worker"
        ),
        pytest.param(view(observer=True, leases_trusted=False), Verdict.ATTENDED, id="Redis away, an observer there"),
        pytest.param(view(leases_trusted=False), Verdict.UNATTENDED, id="Redis away, no observer"),
        pytest.param(view(leases_trusted=False, standby=True), Verdict.STANDBY, id="Redis away, the leader will act"),
        pytest.param(
            view(leases_trusted=False, standby=True, unattended_s=6), Verdict.UNATTENDED, id="Redis and leader away"
        ),
        pytest.param(view(attempts=1, since_attempt_s=1.9), Verdict.BACKING_OFF, id="tried just now"),
        pytest.param(view(attempts=1, since_attempt_s=2.0), Verdict.UNATTENDED, id="tried a while ago"),
        pytest.param(view(attempts=3, since_attempt_s=7.9), Verdict.BACKING_OFF, id="tried in vain, often"),
        pytest.param(view(attempts=999, since_attempt_s=8.0), Verdict.UNATTENDED, id="never given up"),
    ],
)
def test_judge(seen: RoomView, verdict: Verdict) -> None:
    assert judge(seen, OPTIONS) is verdict


EVERY_VIEW = [
    RoomView(*facts)
    for facts in product(
        *[(False, True)] * 5, (None, 0.0, 2.99, 3.0, 100.0), (0.0, 2.49, 2.5, 6.0), (0, 1, 3, 50), (0.0, 2.0, 8.0)
    )
]


@pytest.mark.parametrize("leased", [False, True])
def test_acts_only_where_nothing_speaks_against_it(leased: bool) -> None:
    for seen in (each for each in EVERY_VIEW if each.leased is leased):
        acts = judge(seen, OPTIONS) is Verdict.UNATTENDED
        age_s = seen.youngest_dispatch_s
        may_act = (
            seen.people
            and not seen.leased
            and (seen.leases_trusted or not seen.observer)
            and (age_s is None or age_s >= 3)
            and (not seen.observer or seen.unattended_s >= 2.5)
            and (not seen.standby or seen.unattended_s >= 6)
            and seen.since_attempt_s >= min(8, 2**seen.attempts if seen.attempts else 0)
        )
        assert acts == may_act, seen


def test_waiting_always_ends_in_acting() -> None:
    for seen in EVERY_VIEW:
        later = replace(
            seen,
            people=True,
            leased=False,
            leases_trusted=True,
            youngest_dispatch_s=None if seen.youngest_dispatch_s is None else seen.youngest_dispatch_s + 100,
            unattended_s=seen.unattended_s + 100,
            since_attempt_s=seen.since_attempt_s + 100,
        )
        assert judge(later, OPTIONS) is Verdict.UNATTENDED


def test_delays_double_up_to_a_limit() -> None:
    assert [retry_delay_s(attempts, OPTIONS) for attempts in (0, 1, 2, 3, 4, 10**9)] == [0, 2, 4, 8, 8, 8]
