"""A TCP proxy that fails on demand, to put between a worker and Redis or LiveKit.

`async with FaultyProxy("127.0.0.1", 6379) as proxy: ... proxy.drop()`. Faults add up until `heal`; connections that
lost bytes to one are closed when it heals, since no protocol could go on in the middle of a message.
"""

import asyncio
import errno
import random
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from tests.faults.http_answer import HttpAnswer, take_request

LOOPBACK: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 64 * 1024
_PORTS: Final = range(20_000, 32_000)
"""Below the ports that the system gives to clients: one that retries a refused port of these would in the end
connect to itself and hold the port."""


@dataclass(slots=True)
class _Faults:
    """What is wrong with the network now."""

    vanished: bool = False
    delay_s: float = 0.0
    truncate_after: int | None = None
    rubbish: bytes | None = None
    rubbish_forwards: bool = False
    marker: bytes | None = None
    cut_after: bool = False
    cuts_left: int = 0
    http: HttpAnswer | None = None


class FaultyProxy:
    """Forwards TCP connections on `host`:`port` (loopback) to a server. Its methods act at once."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.host = LOOPBACK
        self.port = 0
        """Known once entered; stays the same through `drop` and `heal`."""
        self.accepted = 0
        """Connections accepted so far."""
        self.cuts = 0
        """Connections cut by `cut_mid_transaction` so far."""
        self.answered = 0
        """Requests answered by `rubbish` and `http` instead of by the server."""
        self.faults = _Faults()
        self.changed = asyncio.Event()
        """Set and replaced at each change of the faults, so that what waits looks again."""
        self._listener: socket.socket | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    async def __aenter__(self) -> Self:
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_listening()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    def drop(self) -> None:
        """Close all connections and refuse new ones."""
        self._stop_listening()
        self.sever()

    def sever(self) -> None:
        """Close all connections; new ones are accepted."""
        for task in self._connections:
            task.cancel()

    def vanish(self) -> None:
        """Accept connections and take bytes, but deliver and answer nothing."""
        self.faults.vanished = True
        self._wake()

    def delay(self, seconds: float) -> None:
        """Hold each answer of the server back for some time."""
        self.faults.delay_s = seconds
        self._wake()

    def truncate(self, after_bytes: int) -> None:
        """Close each connection in which the server answers more than so many bytes from now on, after these."""
        self.faults.truncate_after = after_bytes
        for connection in self._connections.values():
            connection.answered_bytes = 0

    def rubbish(self, payload: bytes, *, forward: bool = False) -> None:
        """Answer whatever the client sends with `payload`; `forward`: the server gets it, its answer is dropped."""
        self.faults.rubbish, self.faults.rubbish_forwards = payload, forward

    def cut_mid_transaction(self, marker: bytes = b"EXEC", *, after: bool = False, times: int = 1) -> None:
        """Cut a connection where the client sends `marker`, for the next `times`.

        `after`: the server gets everything, and the connection is cut when it answers; otherwise the server gets
        what came before the marker only.
        """
        self.faults.marker, self.faults.cut_after, self.faults.cuts_left = marker, after, times

    def http(self, status: int, body: bytes, content_type: str = "text/html", *, match: str = "") -> None:
        """Answer each HTTP request whose target contains `match` as a broken reverse proxy would; forward others."""
        self.faults.http = HttpAnswer(status, body, content_type, match.encode())

    def heal(self) -> None:
        """End all faults and close the connections that lost bytes to them."""
        self.faults = _Faults()
        for task, connection in self._connections.items():
            if connection.spoiled:
                task.cancel()
        self._wake()
        if self._listener is None:
            self._listen()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _listen(self) -> None:
        self._listener = _bound(self.host, self.port)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.setblocking(False)
        self.accepted += 1
        connection = _Connection(self, client)
        task = asyncio.create_task(connection.run(), name="faulty proxy")
        self._connections[task] = connection
        task.add_done_callback(lambda done: self._connections.pop(done, None))


class _Connection:
    """One client, and its connection to the server."""

    def __init__(self, proxy: FaultyProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self.answered_bytes = 0
        self.spoiled = False
        """Bytes were withheld or invented."""
        self._cut_at_answer = False

    async def run(self) -> None:
        """Forward until an end closes, a fault ends it or it is cancelled."""
        writers: list[asyncio.StreamWriter] = []
        try:
            reader, writer = await _streams(self._client)
            writers.append(writer)
            upstream_reader, upstream = await asyncio.open_connection(*self._proxy.target)
            writers.append(upstream)
            pumps = [
                asyncio.create_task(self._requests(reader, upstream, writer), name="faulty proxy: requests"),
                asyncio.create_task(self._answers(upstream_reader, writer), name="faulty proxy: answers"),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # an end that is gone; the other learns of it by the close below
        finally:
            self._client.close() if not writers else None
            for each in writers:
                await _close(each)

    async def _requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        tail = b""
        while data := await reader.read(_CHUNK_BYTES):
            faults = self._proxy.faults
            if faults.vanished:
                self.spoiled = True
                continue
            if faults.http is not None and faults.http.applies_to(data):
                await self._answer_http(faults.http, data, reader, client)
                return
            if faults.rubbish is not None:
                await self._answer(faults.rubbish, client)
                if not faults.rubbish_forwards:
                    continue
            cut = self._cut_at(faults, tail, data)
            upstream.write(data if cut is None else data[:cut])
            await upstream.drain()
            if cut is not None:
                self._proxy.cuts += 1
                if not faults.cut_after:
                    return
                self._cut_at_answer = True
            tail = data[-64:]

    def _cut_at(self, faults: _Faults, tail: bytes, data: bytes) -> int | None:
        """How much of `data` is still forwarded when the marker is in it, else None."""
        if faults.marker is None or not faults.cuts_left:
            return None
        overlap = tail[-(len(faults.marker) - 1) :] if len(faults.marker) > 1 else b""
        at = (overlap + data).find(faults.marker)
        if at < 0:
            return None
        faults.cuts_left -= 1
        return len(data) if faults.cut_after else max(0, at - len(overlap))

    async def _answer(self, payload: bytes, client: asyncio.StreamWriter) -> None:
        self.spoiled = True
        self._proxy.answered += 1
        client.write(payload)
        await client.drain()

    async def _answer_http(
        self, answer: HttpAnswer, data: bytes, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        await take_request(data, reader)
        await self._answer(answer.encoded(), client)

    async def _answers(self, upstream: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await upstream.read(_CHUNK_BYTES):
            if self._cut_at_answer:
                return
            await self._wait_out_delay()
            faults = self._proxy.faults
            if faults.vanished or faults.rubbish is not None:
                self.spoiled = True
                continue
            left = None if faults.truncate_after is None else max(0, faults.truncate_after - self.answered_bytes)
            self.answered_bytes += len(data)
            client.write(data[:left])
            await client.drain()
            if left is not None and left < len(data):
                return

    async def _wait_out_delay(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (left_s := began + self._proxy.faults.delay_s - loop.time()) > 0:
            changed = self._proxy.changed
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await changed.wait()


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket, on a free port of `_PORTS` when `port` is 0."""
    for candidate in [port] if port else random.sample(_PORTS, 100):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener
    raise OSError(errno.EADDRINUSE, f"no port to listen on: {port or _PORTS}")


async def _streams(client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, client)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close, sending what was written where the peer takes it at once."""
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.5):
            await writer.wait_closed()
    writer.transport.abort()
