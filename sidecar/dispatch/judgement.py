"""What a room needs, as a pure function of what is seen of it.

Neither a job's state (a dead worker's stays running) nor the presence of the observer (a killed one is listed for
20 s) tells whether a room is observed. A live lease does.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import msgspec

from sidecar.types import Options

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=300)]


class JudgementOptions(Options, frozen=True):
    """How long to wait before a room counts as unattended."""

    grace_s: _Seconds = 6.0
    """From a dispatch to its lease. The server takes 0.2 s to choose a worker, but up to 5 s in a burst of dispatches;
    one that is withdrawn meanwhile is served all the same, and then terminated."""
    confirm_s: _Seconds = 2.5
    """An observer is in the room but its lease is gone: more than one renewal, in case only Redis forgot."""
    standby_s: _Seconds = 6.0
    """While Redis is away: what a watcher that did not lead waits for the leader to act."""
    retry_min_s: _Seconds = 2.0
    retry_max_s: _Seconds = 8.0
    """A dispatch that found no worker is never tried again by the server: make it anew, ever more slowly."""


@dataclass(frozen=True, slots=True)
class RoomView:
    """All that is known of one room at one moment."""

    people: bool
    """Somebody worth observing is there."""
    observer: bool
    """The observer's identity is among the participants."""
    leased: bool
    leases_trusted: bool
    """False while Redis is away and until each living worker has had time to renew: a missing lease says nothing."""
    standby: bool
    """This watcher did not lead when Redis went away."""
    youngest_dispatch_s: float | None
    """Age of our youngest dispatch in the room; None without one."""
    unattended_s: float
    """Time since the room was first seen without a sign of an observer at work."""
    attempts: int
    """Dispatches made since the room was last observed for a while."""
    since_attempt_s: float


class Verdict(Enum):
    """What a room needs; all but `UNATTENDED` mean: nothing now."""

    ATTENDED = "attended"
    EMPTY = "empty"
    """Nobody to observe: a dispatch would keep a dying room alive."""
    DISPATCHED = "dispatched"
    DOUBTFUL = "doubtful"
    STANDBY = "standby"
    BACKING_OFF = "backing_off"
    UNATTENDED = "unattended"
    """Withdraw our dispatches, put out a dead observer, make one new dispatch."""


def judge(view: RoomView, options: JudgementOptions) -> Verdict:
    """Decide what the room needs: the first line that holds."""
    age_s = view.youngest_dispatch_s
    verdicts = (
        (Verdict.ATTENDED, view.leased or (view.observer and not view.leases_trusted)),
        (Verdict.EMPTY, not view.people),
        (Verdict.DISPATCHED, age_s is not None and age_s < options.grace_s),
        (Verdict.DOUBTFUL, view.observer and view.unattended_s < options.confirm_s),
        (Verdict.STANDBY, view.standby and view.unattended_s < options.standby_s),
        (Verdict.BACKING_OFF, view.since_attempt_s < retry_delay_s(view.attempts, options)),
    )
    return next((verdict for verdict, holds in verdicts if holds), Verdict.UNATTENDED)


def retry_delay_s(attempts: int, options: JudgementOptions) -> float:
    """Least time between two dispatches of one room, doubling with each attempt."""
    if attempts == 0:
        return 0.0
    return float(min(options.retry_min_s * 2.0 ** min(attempts - 1, 16), options.retry_max_s))
