"""The composition root: builds what each command runs out of concrete parts, and ends it in order."""

import asyncio
import logging
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from livekit import api
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import Progress as ProgressBar

from sidecar import __version__
from sidecar.analysis import Progress, RecordingAnalysis
from sidecar.clock import Clock, SystemClock
from sidecar.config import Settings
from sidecar.consent.audit import AuditChain
from sidecar.consent.audit import verify as verify_chain
from sidecar.dispatch.leadership import Leadership
from sidecar.dispatch.lease import RedisLeases
from sidecar.dispatch.load import LoadMeter, ProcessResources, allow_open_files
from sidecar.dispatch.observation import LeasedObserver
from sidecar.dispatch.rooms import LiveKitRooms
from sidecar.dispatch.watcher import Watcher
from sidecar.dispatch.webhooks import Webhooks
from sidecar.dispatch.worker import AgentWorker, WorkerState
from sidecar.drift import DriftMonitor, judge
from sidecar.drift_files import DriftFiles
from sidecar.engines import Engines
from sidecar.errors import ConfigurationError, CredentialsRefused
from sidecar.http import Check, serve_http
from sidecar.inference.fetch import fetch
from sidecar.inference.pack import FileState, list_models, verify
from sidecar.observer import CallObserver
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.json_lines import JsonLinesSink
from sidecar.publish.publisher import RoomPublisher, new_epoch
from sidecar.publish.redis import RedisSink, check_credentials, connect
from sidecar.publish.tail import follow
from sidecar.sources.livekit import TokenMask
from sidecar.sources.recording import open_recording
from sidecar.state import StateFolder
from sidecar.telemetry import Telemetry
from sidecar.timeline import Timeline

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Process:
    """What all parts of one process share."""

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    telemetry: Telemetry = field(default_factory=Telemetry)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}-{secrets.token_hex(3)}")
    """Unique among workers, also among those of one host."""


async def worker(settings: Settings) -> int:
    """Observe rooms until SIGTERM, then drain."""
    logging.getLogger("livekit").addFilter(TokenMask())
    log.info("limit of open files: %d", allow_open_files())
    process = _Process(settings)
    server = settings.livekit_server()
    with StateFolder(settings.state) as state:
        async with _redis(settings) as redis:
            leases = RedisLeases(redis)
            async with (
                _engines(process) as engines,
                RedisSink(
                    connect(settings.redis_url),
                    state.spool,
                    settings.tree.publish,
                    clock=process.clock,
                    telemetry=process.telemetry,
                ) as sink,
                _watcher(process, leases) as watcher,
                _drift_monitor(process),
            ):
                observer = _observer(process, engines, sink, state)
                sink.on_lost = observer.report_loss
                agent = _agent(process, observer, engines, leases)
                async with serve_http(
                    settings.http_host,
                    settings.http_port,
                    telemetry=process.telemetry,
                    checks=lambda: _checks(agent, sink),
                    webhooks=Webhooks(server, watcher.wake, process.telemetry),
                ):
                    await _until_drained(agent, watcher)
    return 0


async def watch(settings: Settings) -> int:
    """See to it that every room has an observer, until SIGTERM."""
    process = _Process(settings)
    server = settings.livekit_server()
    async with (
        _redis(settings) as redis,
        _watcher(process, RedisLeases(redis)) as watcher,
        serve_http(
            settings.http_host,
            settings.http_port,
            telemetry=process.telemetry,
            checks=dict,
            webhooks=Webhooks(server, watcher.wake, process.telemetry),
        ),
    ):
        watching = asyncio.create_task(watcher.run())
        with _on_termination(watching.cancel), suppress(asyncio.CancelledError):
            await watching
    return 0


async def analyze(settings: Settings, file: Path, consent: str, out: Path | None, plot: Path | None) -> int:
    """Read a recording at full speed; its events go to `out` or to standard output."""
    recording = open_recording(file)
    process = _Process(settings)
    epoch = new_epoch(process.clock)
    async with _engines(process, shed_stale=False) as engines:
        with (
            AuditChain(settings.state / "audit", file.stem, epoch, process.clock) as audit,
            _output(out) as output,
            _progress(file.name, recording.duration_s) as progress,
        ):
            timeline = Timeline(JsonLinesSink(output))
            analysis = RecordingAnalysis(
                recording,
                pipeline=ParticipantPipeline(engines, settings.tree.pipeline),
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


async def tail(settings: Settings, room: str, start: Literal["start", "now"], count: int | None) -> int:
    """Print a room's events, one JSON object a line."""
    async with _redis(settings) as redis, aclosing(follow(redis, room, start, SystemClock())) as events:
        printed = 0
        while count is None or printed < count:
            sys.stdout.buffer.write(await anext(events) + b"\n")
            sys.stdout.buffer.flush()
            printed += 1
    return 0


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
    """Check a hash chain."""
    lines, found = verify_chain(file, head)
    _print(f"{file}: {lines} lines, unbroken, head {found}")
    return 0


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[Redis]:
    """A client; Redis may be away, but not refuse us. Raises `CredentialsRefused`."""
    async with connect(settings.redis_url) as redis:
        await check_credentials(redis)
        yield redis


def _engines(process: _Process, *, shed_stale: bool = True) -> Engines:
    return Engines(
        process.settings.models,
        process.settings.tree.engines,
        clock=process.clock,
        telemetry=process.telemetry,
        shed_stale=shed_stale,
    )


def _observer(process: _Process, engines: Engines, sink: RedisSink, state: StateFolder) -> CallObserver:
    tree = process.settings.tree
    return CallObserver(
        worker=process.name,
        sink=sink,
        audit_folder=state.audit,
        make_pipeline=lambda: ParticipantPipeline(engines, tree.pipeline),
        options=tree.source,
        clock=process.clock,
        telemetry=process.telemetry,
    )


def _agent(process: _Process, observer: CallObserver, engines: Engines, leases: RedisLeases) -> AgentWorker:
    tree = process.settings.tree
    return AgentWorker(
        process.settings.livekit_server(),
        LeasedObserver(observer, leases, process.name, tree.lease, process.clock),
        leases,
        worker_id=process.name,
        version=__version__,
        load=LoadMeter(ProcessResources(), lambda: engines.queue_share, tree.load, process.clock),
        options=tree.worker,
        clock=process.clock,
        telemetry=process.telemetry,
    )


@asynccontextmanager
async def _watcher(process: _Process, leases: RedisLeases) -> AsyncIterator[Watcher]:
    server, tree = process.settings.livekit_server(), process.settings.tree
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client:
        rooms = LiveKitRooms(client, server, tree.worker.registration.agent_name)
        leadership = Leadership(
            leases, process.name, ttl_s=tree.watcher.leader_ttl_s, lease_ttl_s=tree.lease.ttl_s, clock=process.clock
        )
        yield Watcher(rooms, leases, leadership, tree.watcher, process.clock)


@asynccontextmanager
async def _drift_monitor(process: _Process) -> AsyncIterator[None]:
    """Keep the worker's counts of outputs, also those of its last minute."""
    files = DriftFiles(process.settings.state, process.settings.models)
    monitor = DriftMonitor(files, process.settings.tree.drift, process.clock, process.telemetry)
    running = asyncio.create_task(monitor.run())
    try:
        yield
    finally:
        running.cancel()
        monitor.release()


def _checks(agent: AgentWorker, sink: RedisSink) -> dict[str, Check]:
    return {
        "models": "ok",
        "livekit": "ok" if agent.state is WorkerState.REGISTERED else "failed",
        "redis": "ok" if sink.connected else "degraded",
    }


async def _until_drained(agent: AgentWorker, watcher: Watcher) -> None:
    """Run both until a signal asks to drain. Raises `CredentialsRefused`."""
    stopping = asyncio.Event()

    async def observe() -> None:
        await agent.run()
        watching.cancel()
        draining.cancel()

    async def watch() -> None:
        # A room dispatched before there is a worker to take it waits seconds for its next try.
        await agent.first_registration()
        await watcher.run()

    async def drain() -> None:
        await stopping.wait()
        log.info("draining: leaving all rooms")
        await agent.drain()

    try:
        with _on_termination(stopping.set):
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch())
                draining = tasks.create_task(drain())
                tasks.create_task(observe())
    except* CredentialsRefused as refused:
        raise _first(refused) from None


def _first(group: BaseExceptionGroup[CredentialsRefused]) -> CredentialsRefused:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


@contextmanager
def _on_termination(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


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
