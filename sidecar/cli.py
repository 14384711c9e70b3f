"""The `sidecar` command: parses arguments, runs one thing, turns errors into exit codes."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sidecar import __version__
from sidecar.app import operations, recordings, worker
from sidecar.config import load_settings
from sidecar.errors import SidecarError
from sidecar.inference.manifest import MANIFEST

_Run = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit codes: 0 done, 1 a finding, 2 usage or configuration, 3 credentials refused."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s %(message)s",
    )
    run: _Run = options.run
    try:
        return run(options)
    except SidecarError as error:
        sys.stderr.write(f"sidecar: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidecar", description="Reads consenting participants of LiveKit calls and publishes engagement events."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    observe = commands.add_parser("worker", help="observe the rooms that LiveKit assigns; a watcher is inside")
    observe.set_defaults(run=lambda _: asyncio.run(worker.worker(load_settings())))

    watch = commands.add_parser("watch", help="only see to it that every room has an observer")
    watch.set_defaults(run=lambda _: asyncio.run(worker.watch(load_settings())))

    analyze = commands.add_parser("analyze", help="read a recording at full speed")
    analyze.add_argument("file", type=Path, metavar="FILE", help="video or audio file")
    analyze.add_argument(
        "--consent", required=True, metavar="WORDS", help="face,voice,text: you attest that the person agreed to these"
    )
    analyze.add_argument(
        "--pack", type=Path, metavar="FOLDER", help="run these models instead (its manifest.toml will do)"
    )
    analyze.add_argument("--out", type=Path, metavar="FILE.jsonl", help="write events there, not to standard output")
    analyze.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the timeline")
    analyze.set_defaults(run=_analyze)

    tail = commands.add_parser("tail", help="print a room's events, one JSON object a line")
    tail.add_argument("room", metavar="ROOM")
    tail.add_argument("--from", dest="start", choices=["start", "now"], default="now")
    tail.add_argument("--count", type=int, metavar="N", help="end after N events")
    tail.set_defaults(run=lambda args: asyncio.run(operations.tail(load_settings(), args.room, args.start, args.count)))

    models = commands.add_parser("models", help="the model pack")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    for action, text in (("list", "name them"), ("verify", "check their files"), ("fetch", "bring what is missing")):
        actions.add_parser(action, help=text).set_defaults(
            run=lambda _, action=action: operations.models(load_settings(), action)
        )
    drift = actions.add_parser("drift", help="whether this worker's outputs have drifted; 1 where they have")
    drift.add_argument("--accept", action="store_true", help="make the newest week the reference")
    drift.set_defaults(run=lambda args: operations.drift(load_settings(), accept=args.accept))

    audit = commands.add_parser("audit", help="check an audit file").add_subparsers(required=True, metavar="ACTION")
    verify = audit.add_parser("verify", help="check its hash chain")
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument("--head", metavar="HASH", help="the published head it must end in")
    verify.set_defaults(run=lambda args: operations.verify_audit(args.file, args.head))

    demo = commands.add_parser("demo", help="watch a simulated call being read")
    demo.add_argument("--seconds", type=float, metavar="S", help="end by itself after so long")
    demo.add_argument("--media", type=Path, metavar="FILE", help="the first participant plays this recording")
    demo.set_defaults(run=_demo)
    return parser


def _analyze(options: argparse.Namespace) -> int:
    settings = load_settings()
    if options.pack is not None:
        folder = options.pack.parent if options.pack.name == MANIFEST else options.pack
        settings = replace(settings, models=folder)
    return asyncio.run(recordings.analyze(settings, options.file, options.consent, options.out, options.plot))


def _demo(options: argparse.Namespace) -> int:
    from sidecar.demo.show import run_demo  # noqa: PLC0415 - only the demo needs its simulated participants

    return asyncio.run(run_demo(options.seconds, options.media))


if __name__ == "__main__":
    sys.exit(main())
