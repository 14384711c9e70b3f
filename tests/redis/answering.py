"""A server that answers whatever a test says, in place of Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class AnsweringServer:
    """`answer` gets the bytes of one write and returns the bytes to send back."""

    answer: Callable[[bytes], bytes]
    byte_delay_s: float = 0.0
    connections: int = 0
    port: int = 0
    received: list[bytes] = field(default_factory=list)
    tasks: set["asyncio.Task[None] | None"] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while data := await reader.read(1 << 20):
                if b"SETINFO" in data:
                    writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
                    continue
                self.received.append(data)
                await self._send(self.answer(data), writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _send(self, answer: bytes, writer: asyncio.StreamWriter) -> None:
        pieces = [answer[place : place + 1] for place in range(len(answer))] if self.byte_delay_s else [answer]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self.byte_delay_s)


@asynccontextmanager
async def answering_server(
    answer: Callable[[bytes], bytes], byte_delay_s: float = 0.0
) -> AsyncIterator[AnsweringServer]:
    server = AnsweringServer(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)
        await asyncio.sleep(0)  # for transports to close


def word(request: bytes) -> bytes:
    """The answer to the PING that ends an exchange."""
    text = request.rpartition(b"PING\r\n$16\r\n")[2].strip()
    return b"$16\r\n" + text + b"\r\n"
