"""LiveKit's agent protocol on the wire: one registered websocket, protobuf in and out.

The messages are `livekit.protocol.agent`; nothing outside this file sees them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from google.protobuf.message import DecodeError
from livekit.protocol import agent, models
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from sidecar.dispatch.livekit_server import OBSERVER_IDENTITY, WEBSOCKET_SCHEMES, LiveKitServer, is_refusal
from sidecar.errors import ConfigurationError, CredentialsRefused, Unavailable
from sidecar.types import Options

_OPEN_TIMEOUT_S: Final = 10.0
_SEND_TIMEOUT_S: Final = 5.0
_KEEPALIVE_S: Final = 10.0
_UNREADABLE_MOST: Final = 20
"""After so many unreadable messages in a row the other end is not taken for LiveKit."""


class RegistrationOptions(Options, frozen=True):
    """How a worker presents itself to the server."""

    agent_name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = "engagement-sidecar"
    """Dispatches that carry this name come to this worker, and only those."""
    ping_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 10
    """Promised interval of the protocol's own pings, seconds."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The server asks whether this worker would take a room."""

    job_id: str
    room: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """The server gave this worker a room."""

    room: str
    job_id: str
    url: str
    token: str = field(repr=False)
    """Lets its bearer join the room as the hidden observer; valid for one hour."""

    @property
    def usable(self) -> bool:
        """It names a room, a token and an address that could be joined."""
        try:
            parts = urlsplit(self.url)
        except ValueError:
            return False
        return bool(self.room and self.token and parts.netloc) and parts.scheme in WEBSOCKET_SCHEMES


@dataclass(frozen=True, slots=True)
class Termination:
    """The server wants a job ended: its dispatch was deleted, or its observer left the room."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that is not the protocol's. It was skipped: what it wanted is unknown, the rest is not affected."""


ServerNotice = Offer | Assignment | Termination | Unreadable


class Answer(Enum):
    """What a worker says to an offer."""

    ACCEPT = auto()
    REFUSE = auto()
    """The server offers the room to another worker."""
    DONE_HERE = auto()
    """This worker observes the room already: the job counts as done, and nobody else is asked."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker tells the server about itself."""

    load: float
    """0-1; rooms go by chance weighted with `1 - load`."""
    rooms: int
    full: bool
    """True: assign nothing more."""
    draining: bool


class AgentConnection:
    """A registered worker's end of the websocket. Made by `register`."""

    def __init__(self, socket: ClientConnection, server: LiveKitServer) -> None:
        self._socket = socket
        self._server = server
        self._unreadable = 0

    async def receive(self) -> ServerNotice:
        """The next notice. Raises `Unavailable` when the connection ends or carries something else."""
        while True:
            message = await self._read()
            if message is None:
                return Unreadable()
            notice = _notice(message, self._server)
            if notice is not None:
                return notice

    async def report(self, status: WorkerStatus) -> None:
        """Tell the server load and readiness."""
        update = agent.UpdateWorkerStatus(
            status=agent.WS_FULL if status.full else agent.WS_AVAILABLE,
            load=status.load,
            job_count=status.rooms,
            draining=status.draining,
        )
        await self._send(agent.WorkerMessage(update_worker=update))

    async def answer(self, offer: Offer, answer: Answer) -> None:
        """Take or refuse the offered room."""
        response = agent.AvailabilityResponse(
            job_id=offer.job_id,
            available=answer is Answer.ACCEPT,
            terminate=answer is Answer.DONE_HERE,
            participant_identity=OBSERVER_IDENTITY,
        )
        await self._send(agent.WorkerMessage(availability=response))

    async def job_running(self, job_id: str) -> None:
        """Say that a job has begun."""
        await self._send(agent.WorkerMessage(update_job=agent.UpdateJobStatus(job_id=job_id, status=agent.JS_RUNNING)))

    async def job_ended(self, job_id: str, error: str | None) -> None:
        """Say that a job is over, and why if it failed."""
        status = agent.JS_SUCCESS if error is None else agent.JS_FAILED
        update = agent.UpdateJobStatus(job_id=job_id, status=status, error=error or "")
        await self._send(agent.WorkerMessage(update_job=update))

    async def ping(self, wall_s: float) -> None:
        """Send the protocol's own ping; a dead peer is found by the websocket's keepalive."""
        await self._send(agent.WorkerMessage(ping=agent.WorkerPing(timestamp=round(wall_s * 1000))))

    async def register(self, options: RegistrationOptions, version: str) -> str:
        """Present this worker; returns the server's name for it."""
        request = agent.RegisterWorkerRequest(
            type=agent.JT_ROOM,
            agent_name=options.agent_name,
            version=version,
            ping_interval=options.ping_s,
            allowed_permissions=models.ParticipantPermission(hidden=True, can_subscribe=True),
        )
        await self._send(agent.WorkerMessage(register=request))
        message = await self._read()
        while message is None or message.WhichOneof("message") != "register":
            message = await self._read()
        return message.register.worker_id

    async def _send(self, message: agent.WorkerMessage) -> None:
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):  # a peer that reads nothing must not hold up a drain
                await self._socket.send(message.SerializeToString())
        except (ConnectionClosed, TimeoutError) as error:
            raise _gone(self._server, error) from error

    async def _read(self) -> agent.ServerMessage | None:
        """The next message; None for one that is not the protocol's."""
        try:
            payload = await self._socket.recv(decode=False)
        except ConnectionClosed as error:
            raise _gone(self._server, error) from error
        try:
            message = agent.ServerMessage.FromString(payload)
        except DecodeError as error:
            self._unreadable += 1
            if self._unreadable >= _UNREADABLE_MOST:
                raise _gone(self._server, error) from error
            return None
        self._unreadable = 0
        return message


class _Connect(connect):
    """A websocket that follows no redirect: nothing is sent to an address that is not in the configuration."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@asynccontextmanager
async def registered(
    server: LiveKitServer, options: RegistrationOptions, version: str
) -> AsyncIterator[AgentConnection]:
    """Connect and register a worker; on leaving, close the websocket.

    Raises `CredentialsRefused`, `ConfigurationError` (no such address) or `Unavailable`.
    """
    try:
        socket = await _Connect(
            server.agent_url(),
            additional_headers={"Authorization": f"Bearer {server.agent_token()}"},
            open_timeout=_OPEN_TIMEOUT_S,
            ping_interval=_KEEPALIVE_S,
            ping_timeout=2 * _KEEPALIVE_S,
            close_timeout=1,
            proxy=None,  # nothing is sent to an address that is not in the configuration
        )
    except InvalidStatus as error:
        kinds = error.response.headers.get_all("Content-Type")
        if is_refusal(error.response.status_code, kinds[0] if kinds else ""):
            raise CredentialsRefused(f"LiveKit at {server.url} refused the API key") from error
        raise _gone(server, error) from error
    except InvalidURI as error:
        raise ConfigurationError("LIVEKIT_URL is not the address of a LiveKit server") from error
    except (InvalidHandshake, OSError, TimeoutError, EOFError, ValueError) as error:  # ValueError: a name without DNS
        raise _gone(server, error) from error
    async with socket:
        connection = AgentConnection(socket, server)
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await connection.register(options, version)
        except TimeoutError as error:
            raise _gone(server, error) from error
        yield connection


def _notice(message: agent.ServerMessage, server: LiveKitServer) -> ServerNotice | None:
    match message.WhichOneof("message"):
        case "availability":
            job = message.availability.job
            return Offer(job.id, job.room.name) if job.id and job.room.name else Unreadable()
        case "assignment":
            assignment = message.assignment
            # The open-source server leaves the address empty: it means itself.
            return Assignment(
                assignment.job.room.name, assignment.job.id, assignment.url or server.url, assignment.token
            )
        case "termination":
            return Termination(message.termination.job_id)
        case _:
            return None


def _gone(server: LiveKitServer, error: Exception) -> Unavailable:
    """What the other end wrote is left out: it may be anything, also a room's name."""
    cause = type(error).__name__
    if isinstance(error, InvalidStatus):
        cause = f"status {error.response.status_code}"
    elif isinstance(error, ConnectionClosed) and error.rcvd is not None:
        cause = f"closed with {error.rcvd.code}"
    elif isinstance(error, DecodeError):
        cause = "its messages are not LiveKit's"
    return Unavailable(f"LiveKit at {server.url} cannot be reached: {cause}")
