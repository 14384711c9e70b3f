"""`sidecar analyze`: one recording, read at full speed."""

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from sidecar.app.process import Process, make_engines
from sidecar.app.termination import Termination
from sidecar.config import Settings
from sidecar.consent.audit import AuditChain
from sidecar.errors import ConfigurationError
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.publisher import RoomPublisher, new_epoch
from sidecar.recordings.analysis import Progress, RecordingAnalysis, check_consent
from sidecar.recordings.destination import Destination, Writer, check_destination, open_stream, same_file
from sidecar.recordings.output import EventLines
from sidecar.recordings.timeline import Timeline, check_picture
from sidecar.sources.recording import Recording, open_recording
from sidecar.state import check_writable

log = logging.getLogger(__name__)

_STREAMS: Final = re.compile(r"-|/dev/(std(in|out|err)|fd/.*)|/proc/.*/fd/.*")


@dataclass(frozen=True, slots=True)
class _Request:
    """What the operator asked for, checked as far as that goes without reading the file."""

    file: Path
    """Absolute, so that no name is taken for an address."""
    room: str
    consent: str
    out: Destination
    plot: Destination | None


async def analyze(settings: Settings, file: Path, consent: str, out: Path | None, plot: Path | None) -> int:
    """Read a recording at full speed; its events go to `out` or to standard output. 128 + n after signal n.

    Everything that can be checked is checked before a model is loaded or a byte is written.
    """
    with Termination() as termination:
        try:
            request = _checked(settings, file, consent, out, plot)
            recording = await asyncio.to_thread(open_recording, request.file)
            timeline = await _run(settings, request, recording)
            if request.plot is not None:
                await _draw(timeline, request.plot, printable(file.name))
        except asyncio.CancelledError:
            if not termination.requested():
                raise
            log.info("interrupted; what was read so far is kept")
    return 0 if termination.number is None else 128 + termination.number


def room_name(file: Path) -> str:
    """The file's stem as the name of a room; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(file.stem).decode("utf-8", "replace")


def printable(name: str) -> str:
    """A file's name for one line of a terminal or a picture: what cannot be shown becomes U+FFFD."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)


def check_recording(file: Path) -> None:
    """Raises `ConfigurationError` unless `file` is a file that can be read; nothing is waited for."""
    if _STREAMS.fullmatch(os.fspath(file)):
        raise ConfigurationError(f"{file}: recordings are read from files, not from streams; save it to a file first")
    try:
        if file.is_dir():
            raise ConfigurationError(f"{file}: this is a folder; name a recording in it")
        if file.exists() and not file.is_file():
            raise ConfigurationError(f"{file}: this is not a regular file; save the recording to a file first")
        file.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"cannot read the recording {file}: {error.strerror}") from error


def _checked(settings: Settings, file: Path, consent: str, out: Path | None, plot: Path | None) -> _Request:
    """Raises `ConfigurationError`."""
    check_consent(consent)
    check_recording(file)
    to_events = open_stream("standard output", 1) if out is None else check_destination("--out", out)
    _refuse_overwriting(file, to_events)
    to_picture = None
    if plot is not None:
        check_picture(plot)
        to_picture = check_destination("--plot", plot)
        _refuse_overwriting(file, to_picture)
        if out is not None and same_file(out, plot):
            raise ConfigurationError(f"{to_picture.label}: --out names the same file; give the picture its own")
    check_writable(settings.state / "audit")
    return _Request(file.absolute(), room_name(file), consent, to_events, to_picture)


def _refuse_overwriting(file: Path, destination: Destination) -> None:
    """Raises `ConfigurationError` where a result would overwrite the recording."""
    if destination.descriptor is not None:
        try:
            same = os.path.samestat(os.fstat(destination.descriptor), file.stat())
        except OSError as error:
            raise destination.failed(error) from error
    else:
        same = same_file(file, destination.path)
    if same:
        raise ConfigurationError(f"{destination.label}: this is the recording itself; name another file")


async def _run(settings: Settings, request: _Request, recording: Recording) -> Timeline:
    process = Process(settings)
    epoch = new_epoch(process.clock)
    async with (
        make_engines(process, shed_stale=False) as engines,
        AuditChain(settings.state / "audit", request.room, epoch, process.clock, process.telemetry) as audit,
    ):
        output = EventLines(request.out, await Writer.open(request.out))
        timeline = Timeline(output)
        try:
            with _progress(printable(request.file.name), recording.duration_s) as progress:
                analysis = RecordingAnalysis(
                    recording,
                    make_pipeline=lambda: ParticipantPipeline(engines, settings.tree.pipeline),
                    publisher=RoomPublisher(request.room, epoch, process.name, timeline, process.clock),
                    audit=audit,
                    clock=process.clock,
                    telemetry=process.telemetry,
                    fps=settings.tree.source.fps,
                )
                running = asyncio.create_task(analysis.run(request.consent, progress))
                output.on_failure = running.cancel
                await running
        except asyncio.CancelledError:
            if not output.failed:
                raise
        finally:
            output.close()
    return timeline


async def _draw(timeline: Timeline, destination: Destination, title: str) -> None:
    picture = await asyncio.to_thread(timeline.draw, destination.path.suffix, title)
    writer = await Writer.open(destination)
    try:
        writer.write(picture)
        writer.keep()
    except OSError as error:
        raise destination.failed(error) from error
    finally:
        writer.discard()


@contextmanager
def _progress(name: str, duration_s: float) -> Iterator[Progress]:
    """A bar on standard error where that is a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=duration_s or None)
        yield lambda media_time_s: bar.update(task, completed=media_time_s)
