"""Where the LiveKit server is, and its API's errors in the sidecar's own words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from livekit import api

from sidecar.errors import ConfigurationError, CredentialsRefused, SidecarError, Unavailable

OBSERVER_IDENTITY: Final = "engagement-sidecar"
"""The one identity under which a room is observed: a second join replaces the first, so there is never a third."""

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class RoomGone(SidecarError):
    """The room, dispatch or participant asked about no longer exists."""


@dataclass(frozen=True, slots=True)
class LiveKitServer:
    """Address and key pair of a LiveKit server."""

    url: str
    """`ws://`, `wss://`, `http://` or `https://`, host, port and perhaps a path."""
    api_key: str
    api_secret: str = field(repr=False)

    def agent_url(self) -> str:
        """Address of the websocket on which workers register."""
        parts = urlsplit(self.url)
        scheme = _WEBSOCKET_SCHEMES.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise ConfigurationError(f"LIVEKIT_URL is no address of a LiveKit server: {self.url!r}")
        return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/agent", "", ""))

    def agent_token(self) -> str:
        """A token that lets its bearer register as a worker."""
        return api.AccessToken(self.api_key, self.api_secret).with_grants(api.VideoGrants(agent=True)).to_jwt()


@asynccontextmanager
async def api_errors(server: LiveKitServer) -> AsyncIterator[None]:
    """Translate what `livekit.api` raises.

    Raises `CredentialsRefused`, `RoomGone` or `Unavailable`.
    """
    try:
        yield
    except api.TwirpError as error:
        if error.status in _REFUSED:
            raise CredentialsRefused(f"LiveKit at {server.url} refused the API key: {error.message}") from error
        if error.status == HTTPStatus.NOT_FOUND:
            raise RoomGone(error.message) from error
        raise Unavailable(f"LiveKit at {server.url} answered {error.status}: {error.message}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(f"LiveKit at {server.url} cannot be reached: {error or type(error).__name__}") from error
