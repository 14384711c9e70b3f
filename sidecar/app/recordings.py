"""`sidecar analyze`: one recording, read at full speed."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import Progress as ProgressBar

from sidecar.app.process import Process, make_engines
from sidecar.config import Settings
from sidecar.consent.audit import AuditChain
from sidecar.errors import ConfigurationError
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.json_lines import JsonLinesSink
from sidecar.publish.publisher import RoomPublisher, new_epoch
from sidecar.recordings.analysis import Progress, RecordingAnalysis
from sidecar.sources.recording import open_recording
from sidecar.timeline import Timeline


async def analyze(settings: Settings, file: Path, consent: str, out: Path | None, plot: Path | None) -> int:
    """Read a recording at full speed; its events go to `out` or to standard output."""
    recording = open_recording(file)
    process = Process(settings)
    epoch = new_epoch(process.clock)
    async with make_engines(process, shed_stale=False) as engines:
        with (
            AuditChain(settings.state / "audit", file.stem, epoch, process.clock, process.telemetry) as audit,
            _output(out) as output,
            _progress(file.name, recording.duration_s) as progress,
        ):
            timeline = Timeline(JsonLinesSink(output))
            analysis = RecordingAnalysis(
                recording,
                make_pipeline=lambda: ParticipantPipeline(engines, settings.tree.pipeline),
                publisher=RoomPublisher(file.stem, epoch, process.name, timeline, process.clock),
                audit=audit,
                clock=process.clock,
                telemetry=process.telemetry,
                fps=settings.tree.source.fps,
            )
            await analysis.run(consent, progress)
    if plot is not None:
        await asyncio.to_thread(timeline.draw, plot, file.name)
    return 0


@contextmanager
def _output(out: Path | None) -> Iterator[IO[bytes]]:
    if out is None:
        yield sys.stdout.buffer
        return
    try:
        file = out.open("wb")
    except OSError as error:
        raise ConfigurationError(f"--out: cannot write {out}: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _progress(name: str, duration_s: float) -> Iterator[Progress]:
    """A bar on standard error where that is a terminal."""
    with ProgressBar(*ProgressBar.get_default_columns(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=duration_s or None)
        yield lambda media_time_s: bar.update(task, completed=media_time_s)
