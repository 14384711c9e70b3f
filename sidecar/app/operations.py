"""Commands for operators: reading events back, the model pack, drift, the audit."""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from sidecar.app.process import open_redis
from sidecar.app.termination import Termination
from sidecar.clock import SystemClock
from sidecar.config import Settings
from sidecar.consent.audit import verify as verify_chain
from sidecar.drift import judge
from sidecar.drift_files import DriftFiles
from sidecar.errors import ConfigurationError
from sidecar.inference.fetch import fetch
from sidecar.inference.pack import FileState, list_models, verify
from sidecar.publish.tail import follow


async def tail(settings: Settings, room: str, start: Literal["start", "now"], count: int | None) -> int:
    """Print a room's events, one JSON object a line, until `count` of them or a signal."""
    with Termination() as termination:
        try:
            await _print_events(settings, room, start, count)
        except asyncio.CancelledError:
            if not termination.requested():
                raise
    return 0


async def _print_events(settings: Settings, room: str, start: Literal["start", "now"], count: int | None) -> None:
    async with open_redis(settings) as redis, aclosing(follow(redis, room, start, SystemClock())) as events:
        printed = 0
        while count is None or printed < count:
            sys.stdout.buffer.write(await anext(events) + b"\n")
            sys.stdout.buffer.flush()
            printed += 1


def models(settings: Settings, action: Literal["list", "verify", "fetch"]) -> int:
    """List, check or fetch the pack. 1 where a file is missing or altered."""
    if action == "list":
        for spec in list_models(settings.models):
            _print(f"{spec.name:16} {spec.version:8} {spec.modality:6} {spec.role:10} {spec.licence}")
        return 0
    findings = fetch(settings.models, settings.tree.fetch) if action == "fetch" else verify(settings.models)
    sound = True
    for finding in findings:
        _print(f"{finding.state:8} {finding.path}")
        sound = sound and finding.state is FileState.OK
    return 0 if sound else 1


def drift(settings: Settings, *, accept: bool) -> int:
    """Tell whether the newest week's outputs have drifted; 1 where they have. `accept`: they are the reference now."""
    files = DriftFiles(settings.state, settings.models)
    if accept:
        _print("accepted as reference: " + (", ".join(files.accept()) or "nothing, since nothing is counted yet"))
    verdicts = judge(files, settings.tree.drift)
    for verdict in verdicts:
        _print(f"{'drifted' if verdict.drifted else 'ok':8} {verdict.says}")
    if not verdicts:
        least = settings.tree.drift
        _print(f"nothing counted in {settings.state} yet: a worker keeps counts of {least.least_people} people or more")
    return 1 if any(verdict.drifted for verdict in verdicts) else 0


def verify_audit(file: Path, head: str | None) -> int:
    """Check a hash chain. Raises `AuditBroken`, `ConfigurationError`."""
    if file.exists() and not file.is_file() and not file.is_dir():
        raise ConfigurationError(f"cannot read the audit file {file}: it is not a regular file")
    lines, found, torn = verify_chain(file, head)
    tail = "; a torn line follows, written when the process died" if torn else ""
    _print(f"{file}: {lines} lines, unbroken, head {found}{tail}")
    return 0


def _print(line: str) -> None:
    """A line of standard output; a file name that is not UTF-8 shows U+FFFD."""
    sys.stdout.write(line.encode("utf-8", "surrogateescape").decode("utf-8", "replace") + "\n")
