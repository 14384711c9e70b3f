"""The composition root: builds what each command runs out of concrete parts, and ends it in order."""

import asyncio
import logging
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

from livekit import api
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
from sidecar.dispatch.load import LoadMeter, ProcessResources
from sidecar.dispatch.observation import LeasedObserver
from sidecar.dispatch.rooms import LiveKitRooms
from sidecar.dispatch.watcher import Watcher
from sidecar.dispatch.webhooks import Webhooks
from sidecar.dispatch.worker import AgentWorker, WorkerState
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
from sidecar.sources.recording import open_recording
from sidecar.state import StateFolder
from sidecar.telemetry import Telemetry
from sidecar.timeline import Timeline

log = logging.getLogger(__name__)


async def worker(settings: Settings) -> int:
    """Observe rooms until SIGTERM, then drain."""
    server = settings.livekit_server()
    tree, clock, telemetry = settings.tree, SystemClock(), Telemetry()
    name = _worker_name()
    with StateFolder(settings.state) as state:
        redis = connect(settings.redis_url)
        await check_credentials(redis)
        leases = RedisLeases(connect(settings.redis_url))
        async with (
            Engines(settings.models, tree.engines, clock=clock, telemetry=telemetry) as engines,
            RedisSink(redis, state.spool, tree.publish, clock=clock, telemetry=telemetry) as sink,
            _watcher(settings, leases, name, clock) as watcher,
        ):
            observer = CallObserver(
                worker=name,
                sink=sink,
                audit_folder=state.audit,
                make_pipeline=lambda: ParticipantPipeline(engines, tree.pipeline),
                options=tree.source,
                clock=clock,
                telemetry=telemetry,
            )
            sink.on_lost = observer.report_loss
            agent = AgentWorker(
                server,
                LeasedObserver(observer, leases, name, tree.lease, clock),
                leases,
                worker_id=name,
                version=__version__,
                load=LoadMeter(ProcessResources(), lambda: engines.queue_share, tree.load, clock),
                options=tree.worker,
                clock=clock,
                telemetry=telemetry,
            )

            def checks() -> Mapping[str, Check]:
                registered = agent.state is WorkerState.REGISTERED
                return {
                    "models": "ok",
                    "livekit": "ok" if registered else "failed",
                    "redis": "ok" if sink.connected else "degraded",
                }

            webhooks = Webhooks(server, watcher.wake, telemetry)
            async with serve_http(
                settings.http_host, settings.http_port, telemetry=telemetry, checks=checks, webhooks=webhooks
            ):
                await _until_drained(agent, watcher)
    return 0


async def watch(settings: Settings) -> int:
    """See to it that every room has an observer, until SIGTERM."""
    clock, telemetry, name = SystemClock(), Telemetry(), _worker_name()
    server = settings.livekit_server()
    redis = connect(settings.redis_url)
    await check_credentials(redis)
    async with _watcher(settings, RedisLeases(redis), name, clock) as watcher:
        webhooks = Webhooks(server, watcher.wake, telemetry)
        async with serve_http(
            settings.http_host, settings.http_port, telemetry=telemetry, checks=dict, webhooks=webhooks
        ):
            watching = asyncio.create_task(watcher.run())
            with _on_termination(watching.cancel), suppress(asyncio.CancelledError):
                await watching
    return 0


async def analyze(settings: Settings, file: Path, consent: str, out: Path | None, plot: Path | None) -> int:
    """Read a recording at full speed; its events go to `out` or to standard output."""
    recording = open_recording(file)
    clock, telemetry = SystemClock(), Telemetry()
    epoch = new_epoch(clock)
    async with Engines(
        settings.models, settings.tree.engines, clock=clock, telemetry=telemetry, shed_stale=False
    ) as engines:
        with (
            AuditChain(settings.state / "audit", file.stem, epoch, clock) as audit,
            _output(out) as output,
            _progress(file.name, recording.duration_s) as progress,
        ):
            sink = JsonLinesSink(output)
            timeline = Timeline(sink) if plot is not None else None
            analysis = RecordingAnalysis(
                recording,
                pipeline=ParticipantPipeline(engines, settings.tree.pipeline),
                publisher=RoomPublisher(file.stem, epoch, _worker_name(), timeline or sink, clock),
                audit=audit,
                clock=clock,
                telemetry=telemetry,
                fps=settings.tree.source.fps,
            )
            await analysis.run(consent, progress)
    if timeline is not None and plot is not None:
        await asyncio.to_thread(timeline.draw, plot, file.name)
    return 0


async def tail(settings: Settings, room: str, start: Literal["start", "now"], count: int | None) -> int:
    """Print a room's events, one JSON object a line."""
    async with connect(settings.redis_url) as redis:
        await check_credentials(redis)
        async with aclosing(follow(redis, room, start, SystemClock())) as events:
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


def verify_audit(file: Path, head: str | None) -> int:
    """Check a hash chain."""
    lines, found = verify_chain(file, head)
    _print(f"{file}: {lines} lines, unbroken, head {found}")
    return 0


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


def _worker_name() -> str:
    """Unique among workers, also among those of one host."""
    return f"{socket.gethostname()}-{secrets.token_hex(3)}"


@asynccontextmanager
async def _watcher(settings: Settings, leases: RedisLeases, name: str, clock: Clock) -> AsyncIterator[Watcher]:
    server, tree = settings.livekit_server(), settings.tree
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client:
        rooms = LiveKitRooms(client, server, tree.worker.registration.agent_name)
        leadership = Leadership(
            leases, name, ttl_s=tree.watcher.leader_ttl_s, lease_ttl_s=tree.lease.ttl_s, clock=clock
        )
        yield Watcher(rooms, leases, leadership, tree.watcher, clock)


async def _until_drained(agent: AgentWorker, watcher: Watcher) -> None:
    """Run both until a signal asks to drain. Raises `CredentialsRefused`."""
    stopping = asyncio.Event()

    async def observe() -> None:
        await agent.run()
        watching.cancel()
        draining.cancel()

    async def drain() -> None:
        await stopping.wait()
        log.info("draining: leaving all rooms")
        await agent.drain()

    try:
        with _on_termination(stopping.set):
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watcher.run())
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
