"""The timeline of one recording as a picture."""

import io
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from sidecar.errors import ConfigurationError
from sidecar.publish.publisher import Envelope, EventSink
from sidecar.types import EpisodeKind, Modality

_COLOURS: Final = {"engagement": "#1b7837", "confusion": "#e08214", "frustration": "#b2182b"}
_EPISODES: Final = {
    EpisodeKind.ENGAGEMENT_LOW: _COLOURS["engagement"],
    EpisodeKind.CONFUSION: _COLOURS["confusion"],
    EpisodeKind.FRUSTRATION_SPIKE: _COLOURS["frustration"],
}
_GAP_S: Final = 1.5


_NOT_OFFERED: Final = {"pgf", "raw", "rgba"}
"""Formats of matplotlib that need LaTeX or are no picture files."""


class Timeline:
    """An `EventSink` that passes events on and remembers what the picture needs."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._estimates: list[dict[str, Any]] = []
        self._episodes: list[dict[str, Any]] = []

    def put(self, envelope: Envelope) -> None:
        self._sink.put(envelope)
        if envelope.type == "engagement.estimate.v1":
            self._estimates.append(msgspec.json.decode(envelope.payload)["data"])
        elif envelope.type == "engagement.episode.v1":
            self._episodes.append(msgspec.json.decode(envelope.payload)["data"])

    def draw(self, suffix: str, title: str) -> bytes:
        """The picture as a file of that suffix: scores and episodes above, each modality's share below.

        Raises `ConfigurationError` where matplotlib is not installed.
        """
        figure = _figure()
        scores, shares = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        scores.set(ylabel="score", ylim=(0, 1))
        scores.set_title(title, parse_math=False)
        shares.set(ylabel="share", xlabel="media time (s)", ylim=(0, 1))
        self._draw_scores(scores)
        self._draw_episodes(scores)
        self._draw_shares(shares)
        scores.legend(loc="upper right", ncols=3)
        shares.legend(loc="upper right", ncols=3)
        picture = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name in a script without a font
            figure.savefig(picture, format=suffix.removeprefix(".").lower(), dpi=110)
        return picture.getvalue()

    def _draw_scores(self, axes: Any) -> None:
        for name, colour in _COLOURS.items():
            points = [(each["media_time_s"], each[name]) for each in self._estimates]
            times, values = _with_gaps([(time, value) for time, value in points if value is not None])
            axes.plot(times, values, color=colour, label=name, marker=".")
        abstained = [each["media_time_s"] for each in self._estimates if each["abstained"]]
        axes.plot(abstained, [0.02] * len(abstained), "x", color="grey", label="abstained")

    def _draw_episodes(self, axes: Any) -> None:
        for episode in {each["episode"]: each for each in self._episodes}.values():
            start_s = episode["started_media_time_s"]
            axes.axvspan(start_s, start_s + episode["duration_s"], alpha=0.15, color=_EPISODES[episode["kind"]])
            axes.text(start_s, 0.95, episode["kind"], fontsize=8, color=_EPISODES[episode["kind"]])

    def _draw_shares(self, axes: Any) -> None:
        times = [each["media_time_s"] for each in self._estimates]
        rows = [
            [each["modalities"].get(modality, {}).get("share", 0.0) for each in self._estimates]
            for modality in Modality
        ]
        axes.stackplot(times, rows, labels=list(Modality), step="mid", alpha=0.7)


def check_picture(path: Path) -> None:
    """Raises `ConfigurationError` where matplotlib is not installed or draws no pictures of the suffix of `path`."""
    known = _figure().canvas.get_supported_filetypes().keys() - _NOT_OFFERED
    if path.suffix.removeprefix(".").lower() not in known:
        suffixes = ", ".join(f".{each}" for each in sorted(known))
        raise ConfigurationError(f"--plot {path}: the name must end in one of {suffixes}")


def _figure() -> Any:
    """An empty figure. Raises `ConfigurationError` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ConfigurationError("--plot needs matplotlib: pip install 'engagement-sidecar[plot]'") from error
    return Figure(figsize=(11, 6), layout="constrained")


def _with_gaps(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Times and values with a break wherever seconds are missing."""
    nan = float("nan")
    joined = points[:1]
    for (before, _), (time, value) in pairwise(points):
        if time - before > _GAP_S:
            joined.append(((before + time) / 2, nan))
        joined.append((time, value))
    return [time for time, _ in joined], [value for _, value in joined]
