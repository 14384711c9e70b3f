"""Where the LiveKit server is, a client of its API, and the API's errors in the sidecar's own words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from google.protobuf.message import DecodeError
from livekit import api

from sidecar.errors import ConfigurationError, CredentialsRefused, SidecarError, Unavailable

OBSERVER_IDENTITY: Final = "engagement-sidecar"
"""The one identity under which a room is observed: a second join replaces the first, so there is never a third."""

ANSWER_WITHIN_S: Final = 5.0
"""Longest wait for one answer. The slowest regular one takes 3 s: dispatches of a room that is gone."""

WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_PROTOBUF: Final = "application/protobuf"
_HTML: Final = "text/html"


class RoomGone(SidecarError):
    """The room, dispatch or participant asked about no longer exists."""


@dataclass(frozen=True, slots=True)
class LiveKitServer:
    """Address and key pair of a LiveKit server."""

    url: str
    """`ws://`, `wss://`, `http://` or `https://`, host, port and perhaps a path. `config.py` checks it."""
    api_key: str
    api_secret: str = field(repr=False)

    def agent_url(self) -> str:
        """Address of the websocket on which workers register."""
        parts = urlsplit(self.url)
        scheme = WEBSOCKET_SCHEMES.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise ConfigurationError("LIVEKIT_URL is not the address of a LiveKit server")
        return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/agent", "", ""))

    def agent_token(self) -> str:
        """A token that lets its bearer register as a worker."""
        return api.AccessToken(self.api_key, self.api_secret).with_grants(api.VideoGrants(agent=True)).to_jwt()


@asynccontextmanager
async def livekit_api(server: LiveKitServer) -> AsyncIterator[api.LiveKitAPI]:
    """A client of the server's API that accepts answers of LiveKit only.

    It follows no redirect and no region list: requests name rooms, and go to the configured address or nowhere. What
    fails is tried again by the watcher, not by the client.
    """
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout, middlewares=(_refuse_foreign_answers,)) as session:
        yield api.LiveKitAPI(server.url, server.api_key, server.api_secret, session=session, failover=False)


def is_refusal(status: int, content_type: str) -> bool:
    """Whether an answer means that LiveKit refused the API key.

    LiveKit refuses in plain text (a key or token it does not know) or in Twirp's JSON. A page of HTML with the same
    status comes from a proxy or firewall in between. It may go away by itself, and must not end rooms that run well.
    """
    return status in _REFUSED and not content_type.lower().startswith(_HTML)


@asynccontextmanager
async def api_errors(server: LiveKitServer) -> AsyncIterator[None]:
    """Translate what `livekit.api` raises around one call, and wait for the answer 5 s at most.

    Raises `CredentialsRefused`, `RoomGone` or `Unavailable`. What the server wrote is left out of the messages: it
    quotes tokens and may name rooms.
    """
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            yield
    except api.TwirpError as error:
        if error.status in _REFUSED:
            raise CredentialsRefused(f"LiveKit at {server.url} refused the API key") from error
        # A proxy's page for an unknown path is 404 as well, but has no Twirp code.
        if error.code == api.TwirpErrorCode.NOT_FOUND:
            raise RoomGone("LiveKit does not know what was asked about") from error
        raise Unavailable(f"LiveKit at {server.url} answered with status {error.status}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(f"LiveKit at {server.url} cannot be reached: {type(error).__name__}") from error
    except (DecodeError, AttributeError, TypeError, ValueError) as error:
        # livekit-api 1.2.2 takes the body of an error for an object: `[]`, `"text"` and `null` are AttributeErrors.
        raise Unavailable(f"LiveKit at {server.url} gave an answer that is not LiveKit's") from error


async def _refuse_foreign_answers(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Middleware: let pass what a LiveKit server may answer. Raises `Unavailable` for anything else."""
    response = await handler(request)
    redirected = 300 <= response.status < 400
    # LiveKit's errors are plain text or JSON, its other answers protobuf: an empty page would read as "no rooms".
    foreign = response.content_type == _HTML or (
        response.status == HTTPStatus.OK and response.content_type != _PROTOBUF
    )
    if redirected or foreign:
        response.close()
        address = str(request.url.origin())
        reason = "redirects" if redirected else "does not answer as LiveKit does"
        raise Unavailable(f"{address} {reason} (status {response.status}): is a proxy in between?")
    return response
