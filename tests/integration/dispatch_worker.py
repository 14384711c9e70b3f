"""A worker process for the dispatch tests: all of the dispatch, and an observer that really joins.

`python -m tests.integration.dispatch_worker NAME LIVEKIT_URL KEY SECRET REDIS_URL`; prints `registered` once it is;
SIGTERM drains.
"""

import asyncio
import signal
import sys

from livekit import api, rtc
from redis.asyncio import Redis

from sidecar.clock import SystemClock
from sidecar.dispatch.agent_protocol import Assignment
from sidecar.dispatch.leadership import Leadership
from sidecar.dispatch.lease import LeaseOptions, RedisLeases
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.dispatch.observation import LeasedObserver
from sidecar.dispatch.rooms import LiveKitRooms
from sidecar.dispatch.watcher import Watcher, WatcherOptions
from sidecar.dispatch.worker import AgentWorker, WorkerOptions
from sidecar.telemetry import Telemetry


def room_options() -> rtc.RoomOptions:
    """Subscribe to nothing, ask no public STUN server."""
    ice = rtc.RtcConfiguration(ice_servers=[rtc.IceServer(urls=["stun:127.0.0.1:3478"])])
    return rtc.RoomOptions(auto_subscribe=False, rtc_config=ice)


class JoiningObserver:
    """Joins and stays until the room lets go."""

    async def observe(self, assignment: Assignment) -> None:
        room, ended = rtc.Room(), asyncio.Event()
        room.on("disconnected", lambda _: ended.set())
        await room.connect(assignment.url, assignment.token, room_options())
        try:
            await ended.wait()
        finally:
            await room.disconnect()


async def main(name: str, url: str, key: str, secret: str, redis_url: str) -> None:
    server, clock = LiveKitServer(url, key, secret), SystemClock()
    lease, watching, working = LeaseOptions(), WatcherOptions(), WorkerOptions()
    async with Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1) as redis:
        leases = RedisLeases(redis)
        worker = AgentWorker(
            server,
            LeasedObserver(JoiningObserver(), leases, name, lease, clock),
            leases,
            worker_id=name,
            version="0",
            load=lambda: 0.0,
            options=working,
            clock=clock,
            telemetry=Telemetry(),
        )
        async with api.LiveKitAPI(url, key, secret) as client, asyncio.TaskGroup() as group:
            rooms = LiveKitRooms(client, server, working.registration.agent_name)
            leading = Leadership(leases, name, ttl_s=watching.leader_ttl_s, lease_ttl_s=lease.ttl_s, clock=clock)
            running = group.create_task(worker.run())
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, lambda: group.create_task(worker.drain()))
            await worker.first_registration()
            print("registered", flush=True)  # noqa: T201 - the test waits for it
            watcher = group.create_task(Watcher(rooms, leases, leading, watching, clock).run())
            await running
            watcher.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
