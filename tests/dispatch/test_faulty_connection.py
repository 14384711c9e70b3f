"""A worker whose connection to the server fails on demand: rooms go on, and it registers again when that ends."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from sidecar.dispatch import agent_protocol
from sidecar.dispatch.worker import WorkerState
from tests.dispatch.agent_server import agent_server
from tests.dispatch.bench import Bench
from tests.faults.proxy import FaultyProxy

WAIT_S = 10.0


def refuse(proxy: FaultyProxy) -> None:
    proxy.http(403, b"<html>403</html>")
    proxy.sever()


FAULTS: dict[str, Callable[[FaultyProxy], None]] = {
    "sever": FaultyProxy.sever,
    "drop": FaultyProxy.drop,
    "vanish": FaultyProxy.vanish,
    "half an answer": lambda proxy: proxy.truncate(40),
    "half a header": lambda proxy: proxy.truncate(1),
    "rubbish": lambda proxy: proxy.rubbish(b"\xff" * 64),
    "page": lambda proxy: proxy.rubbish(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
    "refused by a proxy": refuse,
}


@pytest.mark.parametrize("name", FAULTS)
async def test_rooms_outlive_the_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_protocol, "_KEEPALIVE_S", 0.5)  # nothing else notices a server that vanished
    monkeypatch.setattr(agent_protocol, "_OPEN_TIMEOUT_S", 0.5)
    tasks = len(asyncio.all_tasks())
    async with agent_server() as (server, address):
        port = urlsplit(address.url).port
        assert port is not None
        async with FaultyProxy("127.0.0.1", port) as proxy:
            bench = Bench(replace(address, url=f"ws://127.0.0.1:{proxy.port}"))
            run = asyncio.create_task(bench.worker.run())
            await server.until(lambda: bool(server.statuses))
            await server.offer("one")
            await bench.observing("one")

            FAULTS[name](proxy)
            proxy.accepted = 0
            async with asyncio.timeout(WAIT_S):
                while bench.worker.state is WorkerState.REGISTERED and not (name == "sever" and proxy.accepted):
                    await asyncio.sleep(0.005)
            assert not run.done()
            monkeypatch.setattr(agent_protocol, "_KEEPALIVE_S", 10.0)
            proxy.heal()
            reports = len(server.statuses)
            async with asyncio.timeout(WAIT_S):
                while bench.worker.state is not WorkerState.REGISTERED or len(server.statuses) == reports:
                    await asyncio.sleep(0.005)
            assert bench.observer.left == []
            await server.offer("two")
            await bench.observing("one", "two")

            await bench.worker.drain()
            await asyncio.wait_for(run, WAIT_S)
    async with asyncio.timeout(WAIT_S):
        while len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.005)
