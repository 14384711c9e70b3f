"""A worker with all that it touches, over a real websocket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.clock import SystemClock
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.dispatch.worker import AgentWorker, WorkerOptions
from sidecar.telemetry import Telemetry
from tests.dispatch.agent_server import AgentServer, agent_server
from tests.dispatch.fakes import MemoryLeases, PatientObserver

OPTIONS = WorkerOptions(report_s=0.05, reconnect_min_s=0.01, reconnect_max_s=0.02, termination_grace_s=0.0, drain_s=0.2)


class Load:
    """A load that the test sets."""

    def __init__(self) -> None:
        self.value = 0.0

    def __call__(self) -> float:
        return self.value


class Bench:
    """A worker with all that it touches."""

    def __init__(self, server: LiveKitServer, options: WorkerOptions = OPTIONS) -> None:
        self.observer = PatientObserver()
        self.leases = MemoryLeases(SystemClock())
        self.load = Load()
        self.telemetry = Telemetry()
        self.worker = AgentWorker(
            server,
            self.observer,
            self.leases,
            worker_id="worker-a",
            version="1.2.3",
            load=self.load,
            options=options,
            clock=SystemClock(),
            telemetry=self.telemetry,
        )

    async def observing(self, *rooms: str) -> None:
        async with asyncio.timeout(5):
            while set(self.worker.rooms) != set(rooms) or not set(rooms) <= set(self.observer.assignments):
                self.observer.changed.clear()
                await self.observer.changed.wait()
                await asyncio.sleep(0)

    def dropped(self, stage: str, reason: str) -> float:
        labels = {"stage": stage, "reason": reason}
        return self.telemetry.registry.get_sample_value("sidecar_dropped_total", labels) or 0.0

    def outcomes(self, outcome: str) -> float:
        return self.telemetry.registry.get_sample_value("sidecar_assignments_total", {"outcome": outcome}) or 0.0


@asynccontextmanager
async def running(options: WorkerOptions = OPTIONS) -> AsyncIterator[tuple[Bench, AgentServer]]:
    """A registered worker and its server; drained at the end."""
    async with agent_server() as (server, address):
        bench = Bench(address, options)
        run = asyncio.create_task(bench.worker.run())
        await server.until(lambda: bool(server.statuses))
        yield bench, server
        await bench.worker.drain()
        await asyncio.wait_for(run, 5)
