"""The live table: one column for each person, drawn from a `RoomTally` for a terminal of 80 by 24 or more."""

from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sidecar.demo.tally import PersonTally, RoomTally
from sidecar.schema import Emotions, Estimate
from sidecar.types import Label, Modality

_BAR: Final = 14
_STALE_S: Final = 3.0
_LABEL_STYLES: Final = {Label.ENGAGED: "bold green", Label.DISENGAGED: "bold yellow", Label.CONFUSED: "bold magenta"}
_NOTHING: Final = Text("-", style="dim")


def live_table(tally: RoomTally, wall_time_s: float, heading: str, footing: str) -> RenderableType:
    """Everybody in the room side by side, between a heading and the newest changes with a footing."""
    columns = Table.grid(expand=True)
    for _ in tally.people:
        columns.add_column(ratio=1)
    columns.add_row(*(person_panel(name, person, wall_time_s) for name, person in sorted(tally.people.items())))
    numbers = Text.assemble(
        (heading, "bold"),
        ("  epoch ", "dim"),
        tally.epoch or "none yet",
        ("  sequence ", "dim"),
        str(tally.sequence),
        (f"  {tally.missed} missed" if tally.missed else "", "bold red"),
        no_wrap=True,
        overflow="ellipsis",
    )
    news = [Text(f" {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in tally.news]
    return Group(numbers, columns, *news, Text(footing))


def person_panel(identity: str, person: PersonTally, wall_time_s: float) -> Panel:
    """One person: judgement, bars, expression, and what each modality adds or why it does not."""
    rows = Table.grid(padding=(0, 1), expand=True)
    rows.add_column(style="dim", no_wrap=True, width=11)
    rows.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    estimate = person.newest
    silent = estimate is None or wall_time_s - person.newest_wall_time_s > _STALE_S
    rows.add_row("reads as", _judgement(person, wall_time_s))
    for name in ("engagement", "confusion", "frustration"):
        rows.add_row(name, _NOTHING if estimate is None else _bar(getattr(estimate, name), _colour(name)))
    rows.add_row("confidence", _NOTHING if estimate is None else _bar(estimate.confidence, "white"))
    first, second = _ranked(None if estimate is None else estimate.emotions)[:2]
    rows.add_row("expression", first)
    rows.add_row("", second)
    rows.add_row("in a word", _word(estimate))
    rows.add_row("valence", _NOTHING if estimate is None else _dimensions(estimate))
    for modality in Modality:
        rows.add_row(modality.value, _modality(modality, person))
    rows.add_row("speaking", _speaking(estimate))
    rows.add_row("latency", _NOTHING if estimate is None else f"{estimate.latency_ms:.0f} ms")
    rows.add_row("episodes", _episodes(person))
    return Panel(
        rows, title=Text(identity), title_align="left", border_style="dim" if silent else "cyan", padding=(0, 1)
    )


def plain_line(tally: RoomTally, heading: str) -> str:
    """One line for where nothing can be drawn over."""
    said = [f"{name}: {_in_a_word(person)}" for name, person in sorted(tally.people.items())]
    return "  ".join([heading, f"sequence {tally.sequence}", *said])


def _in_a_word(person: PersonTally) -> str:
    estimate = person.newest
    if estimate is None:
        return "no estimate yet"
    shares = " ".join(f"{modality} {data.share:.2f}" for modality, data in estimate.modalities.items())
    if estimate.abstained:
        return f"abstains ({estimate.abstain_reason}) [{shares}]"
    return f"{estimate.label} {estimate.engagement or 0:.2f} {_ranked(estimate.emotions)[0]} [{shares}]"


def _judgement(person: PersonTally, wall_time_s: float) -> Text:
    estimate = person.newest
    if not person.present:
        return Text("left", style="dim")
    if estimate is None:
        return Text("waiting for evidence", style="dim")
    silent_s = wall_time_s - person.newest_wall_time_s
    if silent_s > _STALE_S:
        return Text(f"nothing for {silent_s:.0f} s", style="dim")
    if estimate.label is None:
        return Text(f"abstains: {(estimate.abstain_reason or '').replace('_', ' ')}", style="yellow")
    return Text(estimate.label, style=_LABEL_STYLES[estimate.label])


def _bar(value: float | None, colour: str) -> Text:
    if value is None:
        return _NOTHING
    full = round(value * _BAR)
    return Text.assemble(("█" * full, colour), ("░" * (_BAR - full), "dim"), f" {value:.2f}")


def _colour(name: str) -> str:
    return {"engagement": "green", "confusion": "magenta", "frustration": "red"}[name]


def _ranked(emotions: Emotions | None) -> list[str]:
    """All base emotions, the likeliest first."""
    if emotions is None:
        return ["-", ""]
    ranked = sorted(msgspec.structs.asdict(emotions).items(), key=lambda item: -item[1])
    return [f"{name} {probability:.2f}" for name, probability in ranked]


def _word(estimate: Estimate | None) -> str:
    """The second or third tier of the vocabulary."""
    return (estimate and (estimate.blend or estimate.granular)) or "-"


def _dimensions(estimate: Estimate) -> Text:
    if estimate.valence is None or estimate.arousal is None:
        return _NOTHING
    return Text(f"{estimate.valence:+.2f}  arousal {estimate.arousal:+.2f}")


def _modality(modality: Modality, person: PersonTally) -> Text:
    estimate = person.newest
    if estimate is not None and modality in estimate.modalities and modality in person.consent:
        data = estimate.modalities[modality]
        return Text.assemble((f"{data.share:4.0%}", "bold"), f"  quality {data.quality:.2f}")
    if modality not in person.consent:
        return Text("no consent", style="yellow")
    reason = None if estimate is None else estimate.missing.get(modality)
    return Text(reason.replace("_", " ") if reason else "-", style="dim")


def _speaking(estimate: Estimate | None) -> Text:
    if estimate is None or estimate.speaking is None:
        return _NOTHING
    return Text("yes", style="bold") if estimate.speaking else Text("no")


def _episodes(person: PersonTally) -> Text:
    if not person.episodes:
        return Text("none", style="dim")
    said = (f"{episode.kind.replace('_', ' ')} {episode.duration_s:.0f} s" for episode in person.episodes.values())
    return Text(", ".join(said), style="bold red")
