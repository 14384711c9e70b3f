"""Writes a model card for each model of a pack, and the pack's bill of materials: `python -m models.cards`.

    python -m models.cards                # cards/NAME.md and cards/pack.cdx.json of the default pack
    python -m models.cards --check        # change nothing; 1 where a file is not what it would be
    python -m models.cards --pack DIR     # another pack: a folder with manifest.toml and results/

The format is Hugging Face's: a head of YAML, then sections; the bill's is CycloneDX 1.6.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.cards.bill import bill_of_materials
from models.cards.facts import known
from models.cards.sections import card
from models.evaluate.results import PACK

BILL: Final = "pack.cdx.json"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.cards", description="Write the cards of a pack.")
    parser.add_argument("--pack", type=Path, default=PACK, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare with the cards that are there")
    options = parser.parse_args(arguments)
    folder = options.pack / "cards"
    stale = []
    for name, text in render(options.pack).items():
        path = folder / name
        if options.check and (not path.exists() or path.read_text("utf-8") != text):
            stale.append(path)
        elif not options.check:
            folder.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
            print(path)
    for path in stale:
        print(f"{path}: stale; run `python -m models.cards`")
    return 1 if stale else 0


def render(pack: Path) -> dict[str, str]:
    """File name -> content, of all cards and the bill. Raises `CardError`, `PackError`, FileNotFoundError."""
    models = known(pack)
    return {**{f"{facts.spec.name}.md": card(facts) for facts in models}, BILL: bill_of_materials(models)}


if __name__ == "__main__":
    sys.exit(main())
