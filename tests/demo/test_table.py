"""The live table as text: every figure of the events is on it, and what is withheld is not made up."""

from rich.console import Console, RenderableType

from sidecar.demo.screen import Screen
from sidecar.demo.summary import summary
from sidecar.demo.table import live_table, plain_line
from sidecar.demo.tally import RoomTally
from sidecar.types import EpisodePhase, Modality
from tests.demo.events import abstention, attached, consents, episode, estimate, tallied

BOTH = (
    attached(),
    consents("ada", *Modality),
    consents("grace", Modality.FACE, Modality.VOICE),
    estimate("ada"),
    abstention("grace"),
    episode("grace", EpisodePhase.START, 0.0),
    episode("grace", EpisodePhase.UPDATE, 4.0),
)


def drawn(renderable: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, height=24, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().splitlines()


def columns(lines: list[str], name: str) -> list[str]:
    """What stands beside `name`, one string for each person."""
    (line,) = (line for line in lines if f"│ {name} " in line)
    return [cell.removeprefix(f" {name}").strip() for cell in line.split("│") if cell.strip()]


def table(tally: RoomTally, after_s: float = 0.5) -> list[str]:
    return drawn(live_table(tally, tally.newest_wall_time_s + after_s, " room demo", " Raw events: tail"))


def test_a_clear_estimate_and_an_abstention_side_by_side():
    lines = table(tallied(*BOTH))
    assert columns(lines, "reads as") == ["engaged", "abstains: thin"]
    assert columns(lines, "engagement") == ["█████████████░ 0.91", "-"]
    assert columns(lines, "confidence") == ["█████████░░░░░ 0.64"] * 2
    assert columns(lines, "expression") == ["happiness 0.86", "-"]
    assert columns(lines, "in a word") == ["delighted", "-"]
    assert columns(lines, "valence") == ["+0.55  arousal -0.12", "-"]
    assert columns(lines, "face") == ["75%  quality 0.81"] * 2
    assert columns(lines, "text") == ["stale", "no consent"]
    assert columns(lines, "speaking") == ["yes", "-"]
    assert columns(lines, "latency") == ["120 ms"] * 2
    assert columns(lines, "episodes") == ["none", "engagement low 4 s"]


def test_it_fits_a_terminal_of_80_by_24_uncut():
    lines = table(tallied(*BOTH))
    assert len(lines) <= 24
    assert not any("…" in line for line in lines)
    assert lines[0].startswith(" room demo  epoch 1-a  sequence 7")
    assert lines[-1] == " Raw events: tail"


def test_a_modality_goes_blank_as_soon_as_its_consent_is_gone():
    tally = tallied(*BOTH[:-2], consents("ada", Modality.FACE))
    assert columns(table(tally), "voice") == ["no consent", "25%  quality 0.81"]


def test_old_estimates_and_people_who_left_are_not_shown_as_present():
    tally = tallied(*BOTH[:-2], consents("grace", change="left"))
    assert columns(table(tally, after_s=9.0), "reads as") == ["nothing for 9 s", "left"]


def test_before_the_first_event_and_the_first_estimate():
    assert "epoch none yet" in table(RoomTally())[0]
    assert columns(table(tallied(attached(), consents("ada", Modality.FACE))), "reads as") == ["waiting for evidence"]


def test_markup_in_a_name_is_only_a_name():
    tally = tallied(estimate("[red]ada[/red]"))
    assert any("[red]ada[/red]" in line for line in table(tally))
    assert "[red]ada[/red]: engaged 0.91 happiness 0.86" in plain_line(tally, "")


def test_without_a_terminal_there_is_a_line_for_each_look():
    console = Console(width=60, force_terminal=False)
    with console.capture() as capture, Screen(console) as screen:
        screen.show(tallied(*BOTH), "0:01", "Raw events")
        screen.show(tallied(*BOTH), "0:02", "Raw events")
    footing, first, second = capture.get().splitlines()
    assert footing == "Raw events"
    said = "sequence 7  ada: engaged 0.91 happiness 0.86 [face 0.75 voice 0.25]"
    said += "  grace: abstains (thin) [face 0.75 voice 0.25]"
    assert (first, second) == (f"0:01  {said}", f"0:02  {said}")


def test_the_summary_has_every_person_and_says_whether_numbers_are_missing():
    tally = tallied(*BOTH)
    lines = drawn(summary(tally))
    assert any(line.split() == ["│", "grace", "│", "1", "│", "100%", "│", "120", "ms", "│"] for line in lines)
    assert lines[-2:] == ["events: 2 episode, 2 estimate, 2 participant, 1 room", "sequence: 1 to 7 without holes"]
    tally.missed = 3
    assert drawn(summary(tally))[-1] == "sequence: 1 to 7 with 3 missing"
