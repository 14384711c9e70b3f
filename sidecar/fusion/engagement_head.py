"""Engagement, confusion and frustration by a trained head over the last seconds, beside the rules.

The head reads what the rules read, second by second, and their answers; it is small (models/train/engagement.py) and
made from labels of one's own, so none is shipped and the rules are the default.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import PackError
from sidecar.fusion.engagement import Scores, Second, score
from sidecar.fusion.simplex import log_of, softmax
from sidecar.types import EMOTIONS, FloatArray

LABELS: Final = ("engaged", "disengaged", "confused", "frustrated")
"""What a span of a call may be, in the order of the head's logits."""
SECONDS: Final = 20
"""How far back the head looks, which is also how far back the share of speech does."""
CUES: Final = ("gaze_on", "brow_furrow", "smile", "eyes_open", "mouth_open", "attention", "speech_share", "speaking")
"""What may be unknown at a second: its number is then 0, and so is the number that says whether it is known."""
FEATURES: Final = (
    *EMOTIONS,
    *("valence", "arousal", "dominance"),
    *CUES,
    *(f"{cue}_known" for cue in CUES),
    *("engagement_by_rule", "confusion_by_rule", "frustration_by_rule", "estimated"),
)
"""The numbers of one second; the answers of the rules as log odds over 4. `estimated` is 0 in a second without any."""


class Scorer(Protocol):
    """One person's way from fused evidence to scores; called once a second, in the order of media time."""

    @property
    def blocking(self) -> bool:
        """True where `score` runs a network."""
        ...

    def score(self, second: Second) -> Scores:
        """Raises `PackError` for a trained scorer that does not fit."""
        ...

    def clear(self) -> None:
        """Forget the person."""
        ...


class RuleScorer:
    """The cited rules, which look at one second alone."""

    blocking: ClassVar[bool] = False

    def score(self, second: Second) -> Scores:
        return score(second)

    def clear(self) -> None:
        """There is nothing to forget."""


class Network(Protocol):
    """A loaded graph: `seconds` float32 (batch, 20, features) -> `logits` float32 (batch, 4) over LABELS."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]: ...


class Card(Protocol):
    """What is told beside the graph."""

    @property
    def seconds(self) -> int: ...
    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def temperature(self) -> float: ...


class EngagementHead:
    """A trained network over what is remembered of one person's last seconds."""

    blocking: ClassVar[bool] = True

    def __init__(self, network: Network, card: Card) -> None:
        """Raises `PackError` for a head that was made for other seconds, features or labels."""
        if (card.seconds, card.features, card.labels) != (SECONDS, FEATURES, LABELS):
            raise PackError("engagement head: made for other seconds, features or labels than these; train it anew")
        self._network = network
        self._temperature = card.temperature
        self._history = History()

    def score(self, second: Second) -> Scores:
        """Raises `PackError` for a graph of other outputs."""
        by_rule = score(second)
        logits = self._network.run({"seconds": self._history.remember(second, by_rule)[None]})["logits"]
        if logits.shape != (1, len(LABELS)) or not np.isfinite(logits).all():
            raise PackError(f"engagement head: logits {logits.shape}, want finite (1, {len(LABELS)}); train it anew")
        shares = dict(zip(LABELS, softmax(logits[0] / self._temperature).tolist(), strict=True))
        return Scores(1 - shares["disengaged"], shares["confused"], shares["frustrated"], by_rule.turned_away)

    def clear(self) -> None:
        self._history = History()


class History:
    """The last seconds of one person."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, FloatArray]] = deque(maxlen=2 * SECONDS)

    def remember(self, second: Second, by_rule: Scores) -> FloatArray:
        """What the head reads now: (20, features) float32, `second` last, zeros where nothing was estimated."""
        self._rows.append((second.media_time_s, features(second, by_rule)))
        table = np.zeros((SECONDS, len(FEATURES)), np.float32)
        for then_s, row in self._rows:
            ago = round(second.media_time_s - then_s)
            if 0 <= ago < SECONDS:
                table[SECONDS - 1 - ago] = row
        return table


def features(second: Second, by_rule: Scores) -> FloatArray:
    """(features,) float32 of one second, in the order of `FEATURES`."""
    affect, cues, speaking = second.affect, second.cues, second.speaking
    known = {name: min(max(cues[name], 0.0), 1.0) for name in CUES if name in cues}
    if "yaw_deg" in cues or "eyes_open" in cues:
        known["attention"] = 1 - by_rule.turned_away
    if speaking is not None:
        known |= {"speech_share": speaking.speech_share, "speaking": float(speaking.speaking)}
    answers = np.array([by_rule.engagement, by_rule.confusion, by_rule.frustration], np.float32)
    return np.array(
        [
            *second.emotions,
            *(affect.valence, affect.arousal, affect.dominance),
            *(known.get(cue, 0.0) for cue in CUES),
            *(float(cue in known) for cue in CUES),
            *((log_of(answers) - log_of(1 - answers)) / 4),
            1.0,
        ],
        np.float32,
    )
