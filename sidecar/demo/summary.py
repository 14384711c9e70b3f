"""What the demo showed, in figures, once it is over."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.demo.tally import RoomTally


def successful(tally: RoomTally, identities: Iterable[str]) -> bool:
    """Whether everybody named was read at least once."""
    return all(identity in tally.people and tally.people[identity].estimates > 0 for identity in identities)


def summary(tally: RoomTally) -> RenderableType:
    """A row for each person, events by type, and whether the numbers have holes."""
    people = Table(title=f"observed for {tally.observed_s:.0f} s", title_justify="left", title_style="bold")
    people.add_column("person")
    for column in ("estimates", "abstained", "mean latency"):
        people.add_column(column, justify="right")
    for identity, person in sorted(tally.people.items()):
        latency = f"{person.mean_latency_ms:.0f} ms" if person.estimates else "-"
        people.add_row(Text(identity), str(person.estimates), f"{person.abstained_share:.0%}", latency)
    types = ", ".join(f"{count} {name.split('.')[1]}" for name, count in sorted(tally.types.items()))
    holes = "without holes" if tally.missed == 0 else f"with {tally.missed} missing"
    return Group(people, Text(f"events: {types or 'none'}\nsequence: 1 to {tally.sequence} {holes}"))
