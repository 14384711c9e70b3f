"""The server's end of LiveKit's agent protocol, on a real websocket of the loopback interface."""

import asyncio
import http
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import jwt
from livekit import api
from livekit.protocol import agent, models
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from sidecar.dispatch.livekit_server import LiveKitServer

API_KEY = "devkey"
API_SECRET = "a secret of at least thirty-two bytes"
WAIT_S = 5.0


class AgentServer:
    """Registers workers, offers them rooms, and keeps what they said."""

    def __init__(self) -> None:
        self.workers: list[ServerConnection] = []
        self.registrations: list[agent.RegisterWorkerRequest] = []
        self.statuses: list[agent.UpdateWorkerStatus] = []
        self.answers: dict[str, agent.AvailabilityResponse] = {}
        self.running: set[str] = set()
        self.ended: dict[str, agent.UpdateJobStatus] = {}
        self.pings = 0
        self.silent = False
        """Answers no registration."""
        self._changed = asyncio.Condition()
        self._jobs: dict[str, agent.Job] = {}

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until a message makes it true."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(true)

    async def offer(self, room: str) -> agent.AvailabilityResponse:
        """Offer a room to the newest worker, assign it if taken; returns the answer."""
        job = self.job(room)
        answer = await self.ask(job)
        if answer.available:
            await self.assign(agent.JobAssignment(job=job, token="a token"))
        return answer

    def job(self, room: str) -> agent.Job:
        """A new job."""
        job = agent.Job(id=f"AJ_{len(self._jobs)}", room=models.Room(name=room))
        self._jobs[job.id] = job
        return job

    async def ask(self, job: agent.Job) -> agent.AvailabilityResponse:
        """Offer a job, without assigning it."""
        await self._tell(agent.ServerMessage(availability=agent.AvailabilityRequest(job=job)))
        await self.until(lambda: job.id in self.answers)
        return self.answers[job.id]

    async def assign(self, assignment: agent.JobAssignment) -> None:
        await self._tell(agent.ServerMessage(assignment=assignment))

    async def send(self, payload: bytes | str) -> None:
        """Anything at all, to the newest worker."""
        await self.workers[-1].send(payload)

    async def terminate(self, job_id: str) -> None:
        await self._tell(agent.ServerMessage(termination=agent.JobTermination(job_id=job_id)))

    async def drop_workers(self) -> None:
        """Close all websockets, as a server that restarts does."""
        for worker in self.workers:
            await worker.close()

    async def attend(self, socket: ServerConnection) -> None:
        self.workers.append(socket)
        try:
            async for payload in socket:
                assert isinstance(payload, bytes)
                await self._heard(agent.WorkerMessage.FromString(payload), socket)
        except ConnectionClosed:
            return

    async def _heard(self, message: agent.WorkerMessage, socket: ServerConnection) -> None:
        match message.WhichOneof("message"):
            case "register":
                self.registrations.append(message.register)
                answer = agent.RegisterWorkerResponse(worker_id=f"AW_{len(self.registrations)}")
                if not self.silent:
                    await socket.send(agent.ServerMessage(register=answer).SerializeToString())
            case "update_worker":
                self.statuses.append(message.update_worker)
            case "availability":
                self.answers[message.availability.job_id] = message.availability
            case "update_job":
                update = message.update_job
                if update.status == agent.JS_RUNNING:
                    self.running.add(update.job_id)
                else:
                    self.ended[update.job_id] = update
            case "ping":
                self.pings += 1
        async with self._changed:
            self._changed.notify_all()

    async def _tell(self, message: agent.ServerMessage) -> None:
        await self.workers[-1].send(message.SerializeToString())


@asynccontextmanager
async def agent_server(port: int = 0) -> AsyncIterator[tuple[AgentServer, LiveKitServer]]:
    """A running server, and its address with the right keys."""
    attending = AgentServer()
    async with serve(attending.attend, "127.0.0.1", port, process_request=_authorise) as listening:
        yield attending, LiveKitServer(f"ws://127.0.0.1:{_port(listening)}", API_KEY, API_SECRET)


def _authorise(connection: ServerConnection, request: Request) -> Response | None:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        claims = api.TokenVerifier(API_KEY, API_SECRET).verify(token)
    except jwt.InvalidTokenError:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no\n")
    if request.path == "/agent" and claims.video is not None and claims.video.agent:
        return None
    return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no\n")


def _port(listening: Server) -> int:
    port: int = listening.sockets[0].getsockname()[1]
    return port
