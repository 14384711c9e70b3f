"""The `sidecar` command: parses arguments, runs one thing, turns errors into exit codes.

What a command needs is imported when it runs, so that usage errors and `--version` answer at once, and an interruption
while modules load ends like any other.
"""

import argparse
import asyncio
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import __version__
from sidecar.errors import SidecarError

if TYPE_CHECKING:
    from sidecar.config import Settings

_Run = Callable[[argparse.Namespace], int]

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit codes: 0 done, 1 a finding, 2 usage or configuration, 3 credentials refused, 128 + signal."""
    _open_standard_streams()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except SidecarError as error:
        _complain(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of the output has closed it
        code = 0
    except OSError as error:
        log.debug("the error was", exc_info=True)
        _complain(f"{os.fsdecode(error.filename) if error.filename else 'standard output'}: {error.strerror}")
        code = 2
    _forget_output()
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as usage:  # after --help, --version or a complaint
        return int(usage.code or 0)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s %(message)s",
    )
    run: _Run = options.run
    return run(options)


def _open_standard_streams() -> None:
    """Make sure that descriptors 0 to 2 are open, or the first files of the program would be taken for them.

    Writing to a standard output that was closed fails as it should; messages to a closed standard error are lost.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def _forget_output() -> None:
    """Flush what is left; where that fails, keep Python from trying again at exit, which it would complain about."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def _complain(message: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"sidecar: {message}\n")
        sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidecar", description="Reads consenting participants of LiveKit calls and publishes engagement events."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    worker = commands.add_parser("worker", help="observe the rooms that LiveKit assigns; a watcher is inside")
    worker.set_defaults(run=_worker)

    watch = commands.add_parser("watch", help="only see to it that every room has an observer")
    watch.set_defaults(run=_watch)

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
    tail.add_argument("room", metavar="ROOM", type=_room)
    tail.add_argument("--from", dest="start", choices=["start", "now"], default="now")
    tail.add_argument("--count", type=_count, metavar="N", help="end after N events")
    tail.set_defaults(run=_tail)

    _add_operations(commands)

    demo = commands.add_parser("demo", help="watch a simulated call being read")
    demo.add_argument("--seconds", type=_seconds, metavar="S", help="end by itself after so long")
    demo.add_argument("--media", type=Path, metavar="FILE", help="the first participant plays this recording")
    demo.set_defaults(run=_demo)
    return parser


def _add_operations(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    models = commands.add_parser("models", help="the model pack")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    for action, text in (("list", "name them"), ("verify", "check their files"), ("fetch", "download what is missing")):
        actions.add_parser(action, help=text).set_defaults(run=_models, action=action)
    drift = actions.add_parser("drift", help="whether this worker's outputs have drifted; 1 where they have")
    drift.add_argument("--accept", action="store_true", help="make the newest week the reference")
    drift.set_defaults(run=_drift)

    audit = commands.add_parser("audit", help="check an audit file").add_subparsers(required=True, metavar="ACTION")
    verify = audit.add_parser("verify", help="check its hash chain")
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument("--head", metavar="HASH", help="the published head it must end in")
    verify.set_defaults(run=_verify_audit)


def _room(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("the name of a room is UTF-8 text") from None
    if not value:
        raise argparse.ArgumentTypeError("name a room")
    return value


def _count(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 1 on")
    return int(value)


def _seconds(value: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(value)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"{value!r} is not a number of seconds above 0")


def _settings() -> "Settings":
    from sidecar.config import load_settings

    return load_settings()


def _worker(_: argparse.Namespace) -> int:
    from sidecar.app.worker import worker

    return asyncio.run(worker(_settings()))


def _watch(_: argparse.Namespace) -> int:
    from sidecar.app.worker import watch

    return asyncio.run(watch(_settings()))


def _analyze(options: argparse.Namespace) -> int:
    from sidecar.app.recordings import analyze
    from sidecar.inference.manifest import MANIFEST

    settings = _settings()
    if options.pack is not None:
        folder = options.pack.parent if options.pack.name == MANIFEST else options.pack
        settings = replace(settings, models=folder)
    return asyncio.run(analyze(settings, options.file, options.consent, options.out, options.plot))


def _tail(options: argparse.Namespace) -> int:
    from sidecar.app.operations import tail

    return asyncio.run(tail(_settings(), options.room, options.start, options.count))


def _models(options: argparse.Namespace) -> int:
    from sidecar.app.operations import models

    return models(_settings(), options.action)


def _drift(options: argparse.Namespace) -> int:
    from sidecar.app.operations import drift

    return drift(_settings(), accept=options.accept)


def _verify_audit(options: argparse.Namespace) -> int:
    from sidecar.app.operations import verify_audit

    return verify_audit(options.file, options.head)


def _demo(options: argparse.Namespace) -> int:
    from sidecar.app.recordings import check_recording
    from sidecar.demo.show import run_demo

    if options.media is not None:
        check_recording(options.media)
    return asyncio.run(run_demo(options.seconds, options.media))


if __name__ == "__main__":
    sys.exit(main())
