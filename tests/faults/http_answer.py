"""An HTTP answer that does not come from the server: an error page of a proxy in between."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

_REQUEST_LINE: Final = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\S+) HTTP/1\.[01]\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What each matching request gets."""

    status: int
    body: bytes
    content_type: str
    match: bytes
    """A part of the request's target; empty: every request."""

    def applies_to(self, data: bytes) -> bool:
        """Whether `data` begins a request to answer."""
        line = _REQUEST_LINE.match(data)
        return line is not None and self.match in line[1]

    def encoded(self) -> bytes:
        """The whole response; the connection ends after it."""
        known = self.status in set(HTTPStatus)
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase if known else 'Unknown'}\r\n"
            f"content-type: {self.content_type}\r\ncontent-length: {len(self.body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + self.body


async def take_request(data: bytes, reader: asyncio.StreamReader) -> None:
    """Read the rest of the request that begins with `data`: a client may write it all before it reads."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while b"\r\n\r\n" not in data and (more := await reader.read(65536)):
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            left = (int(length[1]) if length else 0) - len(body)
            while left > 0 and (more := await reader.read(left)):
                left -= len(more)
