"""`sidecar worker` and `sidecar watch`: rooms are observed until a signal asks to drain."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sidecar import __version__
from sidecar.app.process import Process, make_engines, open_redis
from sidecar.app.termination import Termination
from sidecar.config import Settings
from sidecar.dispatch.leadership import Leadership
from sidecar.dispatch.lease import RedisLeases
from sidecar.dispatch.livekit_server import livekit_api
from sidecar.dispatch.load import LoadMeter, ProcessResources, allow_open_files
from sidecar.dispatch.observation import LeasedObserver
from sidecar.dispatch.rooms import LiveKitRooms
from sidecar.dispatch.watcher import Watcher
from sidecar.dispatch.webhooks import Webhooks
from sidecar.dispatch.worker import AgentWorker, WorkerState
from sidecar.drift import DriftMonitor
from sidecar.drift_files import DriftFiles
from sidecar.engines import Engines
from sidecar.http import Check, serve_http
from sidecar.pipeline import ParticipantPipeline
from sidecar.publish.redis import RedisSink, connect
from sidecar.room.observer import CallObserver
from sidecar.sources.livekit import mask_sdk_logs
from sidecar.state import StateFolder
from sidecar.telemetry import Telemetry

log = logging.getLogger(__name__)

_WATCHER_DELAY_S: Final = 2.0
"""Rooms wait for the watcher, which replaces a dead worker within seconds."""


async def worker(settings: Settings) -> int:
    """Observe rooms until a signal, then drain."""
    with Termination() as termination:
        try:
            await _observe_rooms(settings, termination)
        except asyncio.CancelledError:  # by a signal before there was anything to drain
            if not termination.requested():
                raise
    return 0


async def _observe_rooms(settings: Settings, termination: Termination) -> None:
    mask_sdk_logs()
    log.info("limit of open files: %d", allow_open_files())
    process = Process(settings)
    server = settings.livekit_server()
    with StateFolder(settings.state) as state:
        async with open_redis(settings) as redis:
            leases = RedisLeases(redis)
            async with (
                make_engines(process) as engines,
                RedisSink(
                    connect(settings.redis_url),
                    state.spool,
                    settings.tree.publish,
                    clock=process.clock,
                    telemetry=process.telemetry,
                    supervisor=process.supervisor,
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
                    checks=lambda: _checks(agent, sink, process.telemetry),
                    failing=lambda: {**process.supervisor.failing, **engines.failing, **observer.failing},
                    webhooks=Webhooks(server, watcher.wake, process.telemetry),
                ):
                    await _until_drained(process, agent, watcher, termination)


async def watch(settings: Settings) -> int:
    """See to it that every room has an observer, until a signal."""
    with Termination() as termination:
        try:
            await _watch_rooms(settings)
        except asyncio.CancelledError:
            if not termination.requested():
                raise
    return 0


async def _watch_rooms(settings: Settings) -> None:
    process = Process(settings)
    server = settings.livekit_server()
    async with (
        open_redis(settings) as redis,
        _watcher(process, RedisLeases(redis)) as watcher,
        serve_http(
            settings.http_host,
            settings.http_port,
            telemetry=process.telemetry,
            checks=dict,
            webhooks=Webhooks(server, watcher.wake, process.telemetry),
        ),
    ):
        await watcher.run()


def _observer(process: Process, engines: Engines, sink: RedisSink, state: StateFolder) -> CallObserver:
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


def _agent(process: Process, observer: CallObserver, engines: Engines, leases: RedisLeases) -> AgentWorker:
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
async def _watcher(process: Process, leases: RedisLeases) -> AsyncIterator[Watcher]:
    server, tree = process.settings.livekit_server(), process.settings.tree
    async with livekit_api(server) as client:
        rooms = LiveKitRooms(client, server, tree.worker.registration.agent_name)
        leadership = Leadership(
            leases, process.name, ttl_s=tree.watcher.leader_ttl_s, lease_ttl_s=tree.lease.ttl_s, clock=process.clock
        )
        yield Watcher(rooms, leases, leadership, tree.watcher, process.clock)


@asynccontextmanager
async def _drift_monitor(process: Process) -> AsyncIterator[None]:
    """Keep the worker's counts of outputs, also those of its last minute."""
    files = DriftFiles(process.settings.state, process.settings.models)
    monitor = DriftMonitor(files, process.settings.tree.drift, process.clock, process.telemetry)
    running = process.supervisor.start("drift", monitor.run)
    try:
        yield
    finally:
        running.stop()
        await running.ended()
        await monitor.release()


def _checks(agent: AgentWorker, sink: RedisSink, telemetry: Telemetry) -> dict[str, Check]:
    return {
        "models": "ok",
        "livekit": "ok" if agent.state is WorkerState.REGISTERED else "failed",
        "redis": "ok" if sink.connected else "degraded",
        "spool": "degraded" if sink.disk_failing else "ok",
        "audit": "degraded" if telemetry.registry.get_sample_value("sidecar_audit_failing") else "ok",
    }


async def _until_drained(process: Process, agent: AgentWorker, watcher: Watcher, termination: Termination) -> None:
    """Observe and watch until a signal asks to drain. Raises `CredentialsRefused` where the registration is refused.

    A refusal that only the watcher meets ends no rooms: it is logged, shown in `/readyz`, and tried again.
    """
    stopping = asyncio.Event()

    async def watch() -> None:
        # A room dispatched before there is a worker to take it waits seconds for its next try.
        await agent.first_registration()
        await watcher.run()

    async def drain() -> None:
        await stopping.wait()
        log.info("draining: leaving all rooms")
        await agent.drain()

    termination.act = stopping.set
    watching = process.supervisor.start("watcher", watch, longest_delay_s=_WATCHER_DELAY_S)
    draining = process.supervisor.start("drain", drain)
    try:
        await agent.run()
    finally:
        draining.stop()
        watching.stop()
        await watching.ended()  # it gives up the lead, so that another watcher takes it at once
