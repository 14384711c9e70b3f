"""Recomputes the figures of the weights into `models/results/`: `python -m models.evaluate [face|voice|text|fusion]`.

    python -m models.evaluate                             # every encoder of the default pack, and their fusion
    python -m models.evaluate voice --check               # compare with the committed results; 1 where they differ
    python -m models.evaluate --pack DIR --results DIR    # another pack: a folder with a manifest.toml
    python -m models.evaluate face --pictures DIR         # confusion, reliability, coverage, robustness as PNG

The default encoder of a modality writes `MODALITY.json`, a further one `NAME.json`. It takes some minutes of one core
and needs the corpora (`SIDECAR_DATA`).
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from models.evaluate import face, fusion, text, voice
from models.evaluate.encoders import encoders, open_model
from models.evaluate.pictures import draw
from models.evaluate.report import Report, tables
from models.evaluate.results import PACK, differences, read, write
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.types import Modality

FUSION: Final = "fusion"
PARTS: Final = (*(modality.value for modality in Modality), FUSION)
KEPT: Final = ("compared",)
"""What the recipes of the learned fusions note in its results file beside the figures."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done or alike, 1 a difference."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := set(options.part) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    folder = options.results or options.pack / "results"
    alike = [_one(name, make, folder, options) for name, make in _results(options)]
    return 0 if all(alike) else 1


def evaluate(spec: ModelSpec, pack: Path = PACK, *, timed: bool = True) -> dict[str, Any]:
    """The whole results file of one encoder."""
    module = {Modality.FACE: face, Modality.VOICE: voice, Modality.TEXT: text}[spec.modality]
    model = open_model(spec, pack)
    timings = module.timings(spec, pack) if timed else {}
    return tables(_report(model, pack), model, timings)


def _results(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Names of the results asked for, and what makes each."""
    for part in options.part or PARTS:
        if part == FUSION:
            yield part, partial(fusion.result, options.pack, {})
            continue
        known = encoders(Modality(part), options.pack)
        if not known:
            print(f"{options.pack}: no {part} encoder", file=sys.stderr)
        for spec in known:
            name = part if spec is known[0] else spec.name
            yield name, partial(evaluate, spec, options.pack, timed=not options.check)


def _one(name: str, make: Callable[[], dict[str, Any]], folder: Path, options: argparse.Namespace) -> bool:
    """Write or compare one file; False where it differs."""
    path = folder / f"{name}.json"
    committed = read(path) if options.check else {}
    result = make()
    if options.pictures and "heads" in result:
        draw(result, options.pictures / name)
    if options.check:
        found = differences(committed, result)
        print("\n".join([f"{path}: {'differs' if found else 'the same again'}", *(f"  {line}" for line in found)]))
        return not found
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    write(path, result | {key: before[key] for key in KEPT if name == FUSION and key in before})
    print(path)
    for figure, value in result["figures"].items():
        low, high = result.get("intervals", {}).get(figure, (None, None))
        print(f"  {figure:32} {value:7.4f}" + (f"   {low:.3f} to {high:.3f}" if low is not None else ""))
    return True


def _report(model: OrtModel, pack: Path) -> Report:
    if model.spec.modality is Modality.FACE:
        return face.report(model)
    return voice.report(model) if model.spec.modality is Modality.VOICE else text.report(model, pack)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description="Score a pack on its test corpora.")
    parser.add_argument("part", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--check", action="store_true", help="compare with the results instead of writing them")
    parser.add_argument(
        "--pack", "--manifest", type=Path, default=PACK, metavar="DIR", help="folder of a manifest.toml"
    )
    parser.add_argument("--results", type=Path, metavar="DIR", help="where the results are; the pack's own by default")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw PNGs there, such as .cache/report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
