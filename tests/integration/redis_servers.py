"""Redis as operators run it: a cluster, with TLS, behind a name that moves to another server."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from sidecar.clock import SystemClock
from sidecar.demo.servers import RedisProcess, free_port
from sidecar.errors import Unavailable
from sidecar.publish.publisher import RoomPublisher
from sidecar.publish.redis import PublishOptions, RedisSink, connect, stream_key
from sidecar.schema import RoomChange
from sidecar.supervisor import Supervisor
from sidecar.telemetry import Telemetry

_SLOTS = 16384


@asynccontextmanager
async def open_sink(url: str, folder: Path, **options: Any) -> AsyncIterator[tuple[RedisSink, Telemetry]]:
    """A sink that tries again ten times a second."""
    telemetry, clock = Telemetry(), SystemClock()
    sink = RedisSink(
        connect(url),
        folder,
        PublishOptions(retry_s=0.1, **options),
        clock=clock,
        telemetry=telemetry,
        supervisor=Supervisor(clock, telemetry),
    )
    async with sink:
        yield sink, telemetry


class Talker:
    """Publishes events of one room, numbered from 1."""

    def __init__(self, sink: RedisSink, room: str) -> None:
        self.room = room
        self.said = 0
        self._publisher = RoomPublisher(room, "e1", "w1", sink, SystemClock())

    def say(self, count: int) -> None:
        for _ in range(count):
            self._publisher.publish(RoomChange(room=self.room, change="attached"))
            self.said += 1


async def sequences(redis: Redis, room: str, at_least: int, within_s: float = 10) -> list[int]:
    """Those in the stream of a room once it holds so many, without duplicates, in the order of their first delivery."""
    async with asyncio.timeout(within_s):
        while True:
            entries = await redis.xrange(stream_key(room))
            found = dict.fromkeys(int(json.loads(fields[b"event"])["sequence"]) for _, fields in entries)
            if len(found) >= at_least:
                return list(found)
            await asyncio.sleep(0.02)


async def until_spooled(telemetry: Telemetry, count: int) -> None:
    async with asyncio.timeout(10):
        while telemetry.spooled._value.get() < count:
            await asyncio.sleep(0.02)


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisProcess]:
    """A cluster of one server that holds all slots."""
    port = next(port for port in iter(free_port, None) if port < 55_000)  # its bus listens 10,000 higher
    settings = {"port": str(port), "cluster-enabled": "yes", "dir": str(folder)}
    with RedisProcess(settings) as process:
        _take_all_slots(process)
        until_ok(process)
        process.url = process.url.replace("redis://", "redis+cluster://")
        yield process


def _take_all_slots(process: RedisProcess) -> None:
    with redis.Redis.from_url(process.url) as client:
        client.execute_command("CLUSTER", "ADDSLOTS", *range(_SLOTS))


def until_ok(process: RedisProcess) -> None:
    """Block until the cluster takes commands; after a restart that takes 2 s."""
    with redis.Redis.from_url(process.url.replace("+cluster", "")) as client:
        while "cluster_state:ok" not in str(client.execute_command("CLUSTER", "INFO")):
            time.sleep(0.05)


@contextmanager
def tls_redis(folder: Path, settings: dict[str, str] | None = None) -> Iterator[tuple[RedisProcess, str, Path]]:
    """A server that also speaks TLS; its rediss:// URL without options, and the CA's file."""
    ca, certificate, key = certificates(folder)
    port = free_port()
    tls = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(ca),
        "tls-auth-clients": "no",
    }
    process = RedisProcess({**tls, **(settings or {})})
    try:
        process.start()
    except Unavailable as error:
        process.close()
        if "tls-port" in str(error):
            pytest.skip("this redis-server lacks TLS; `make servers` installs one that has it")
        raise
    with closing(process):
        yield process, f"rediss://127.0.0.1:{port}/0", ca


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A CA, and a certificate of it for 127.0.0.1 with its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make certificates with")
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    key, request, certificate, extensions = (folder / name for name in ("key.pem", "csr.pem", "cert.pem", "ext"))
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _run([*new, "-x509", "-subj", "/CN=Test CA", "-days", "2", "-keyout", ca_key, "-out", ca])
    _run([*new, "-subj", "/CN=redis", "-keyout", key, "-out", request])
    sign = ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2"]
    _run([*sign, "-extfile", extensions, "-out", certificate])
    return ca, certificate, key


def _run(command: list[str | Path]) -> None:
    subprocess.run(command, check=True, capture_output=True)


class MovingName:
    """A loopback port that leads to one server or another, as a name does after a fail-over.

    Connections that are open stay with the server they were made to.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.url = ""
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> "MovingName":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_copy(reader, target_writer))
                tasks.create_task(_copy(target_reader, writer))
        finally:
            writer.close()
            target_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
