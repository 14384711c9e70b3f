"""Exports again, checks, or writes for other runtimes what is in a pack.

    python -m models.export NAME                        compare all precisions, ship the best
    python -m models.export NAME --precision int8       ship that one, if it keeps its accuracy
    python -m models.export NAME --check                only measure what is shipped; 1 where it strays too far
    python -m models.export checkpoint FOLDER --name NAME --licence TEXT --map joy=happiness,... --pack DIR
    python -m models.export triton --out DIR            a model repository for Triton
    python -m models.export tensorrt --out DIR [--build]  scripts and settings for TensorRT engines

The first three need what the recipe's export left in `.cache/export/NAME`; `checkpoint` takes a folder in the hub's
layout and leaves a pack that `sidecar analyze --pack DIR` runs.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from models.export.comparison import compare, measure, require_parity
from models.export.entries import PACK, read_entry
from models.export.graph import ParityError
from models.export.kept import KEPT, restore
from models.export.precision import PRECISIONS
from models.export.publishing import ship_best, show
from models.export.tensorrt import EngineMissing, EngineOptions, build, write_engines
from models.export.triton import TritonOptions, write_repository
from sidecar.errors import PackError
from sidecar.inference.pack import load_pack

_FAILURES = (ParityError, EngineMissing, PackError, LookupError, FileNotFoundError, subprocess.CalledProcessError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 a finding or an error, 2 usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    known = {"triton": _triton, "tensorrt": _tensorrt, "checkpoint": _checkpoint}
    try:
        return known[given[0]](given[1:]) if given and given[0] in known else _model(given)
    except _FAILURES as error:
        print(f"models.export: {error}", file=sys.stderr)
        return 1


def _model(given: Sequence[str]) -> int:
    parser = _parser("NAME")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--precision", choices=PRECISIONS, help="ship this one instead of the best")
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder of what exports left")
    told = parser.parse_args(given)
    entry = read_entry(told.name, told.pack)
    kept = restore(told.name, told.kept, entry.recipe)
    if not told.check:
        ship_best(kept, entry, (told.precision,) if told.precision else kept.precisions, told.pack)
        return 0
    reference, _ = compare(kept, entry, ("fp32",))
    shipped = measure({"shipped": onnx.load(told.pack / entry.file)}, entry, kept.validation)
    wanted = shipped[0] if entry.provider == "cpu" else shipped[-1]
    difference = kept.difference()
    show(entry.name, difference, wanted, [*reference, *shipped])
    require_parity(entry.name, difference, wanted, reference)
    return 0


def _triton(given: Sequence[str]) -> int:
    parser = _parser("triton")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--max-batch", type=int, default=TritonOptions().max_batch)
    parser.add_argument("--max-delay-ms", type=float, default=TritonOptions().max_delay_ms)
    parser.add_argument("--instances", type=int, default=TritonOptions().instances, help="of each model")
    parser.add_argument("--cpu", action="store_true", help="serve without a GPU")
    told = parser.parse_args(given)
    options = TritonOptions(
        max_batch=told.max_batch, max_delay_ms=told.max_delay_ms, instances=told.instances, gpu=not told.cpu
    )
    for path in write_repository(load_pack(told.pack, "research"), told.out, options):
        print(path)
    return 0


def _tensorrt(given: Sequence[str]) -> int:
    parser = _parser("tensorrt")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--usual-batch", type=int, default=EngineOptions().usual_batch)
    parser.add_argument("--max-batch", type=int, default=EngineOptions().max_batch)
    parser.add_argument("--build", action="store_true", help="run the scripts here")
    told = parser.parse_args(given)
    options = EngineOptions(usual_batch=told.usual_batch, max_batch=told.max_batch)
    scripts, refused = write_engines(load_pack(told.pack, "research"), told.out, options)
    for script in scripts:
        print(script)
    for name, reason in refused.items():
        print(f"{name} {reason}", file=sys.stderr)
    if told.build:
        build(scripts)
    return 0


def _checkpoint(given: Sequence[str]) -> int:
    from models.train.hub_publish import main as publish_checkpoint  # only this one needs torch and transformers

    return publish_checkpoint(given)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m models.export {command}", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pack", type=Path, default=PACK, help="folder of the manifest")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
