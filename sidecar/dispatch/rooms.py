"""What the watcher asks of LiveKit: which rooms there are, who is in them, and their dispatches."""

from dataclasses import dataclass
from typing import Final, Protocol

from livekit import api
from livekit.protocol import models

from sidecar.dispatch.livekit_server import OBSERVER_IDENTITY, LiveKitServer, RoomGone, api_errors
from sidecar.errors import Unavailable

_PEOPLE: Final = (models.ParticipantInfo.STANDARD, models.ParticipantInfo.SIP, models.ParticipantInfo.INGRESS)


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who is in a room. From the participants: `num_participants` of the room's listing lags by seconds."""

    people: bool
    """Somebody worth observing is there: programs and hidden participants do not count."""
    observer: bool
    """The observer's identity is there. A killed one stays for 20 s."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A standing request to bring our agent into a room."""

    id: str
    created_wall_s: float
    """By the server's clock, seconds since the Unix epoch."""


class RoomService(Protocol):
    """LiveKit's rooms. Each call raises `Unavailable` or `CredentialsRefused`; those about a room, `RoomGone`.

    Asked about the dispatches of a room that is gone, the real server is `Unavailable` after 3 s.
    """

    async def rooms(self) -> list[str]:
        """Names of all rooms."""
        ...

    async def attendance(self, room: str) -> Attendance:
        """Who is in the room; nobody, where it is gone."""
        ...

    async def dispatches(self, room: str) -> list[Dispatch]:
        """The room's dispatches for our agent."""
        ...

    async def create_dispatch(self, room: str) -> Dispatch:
        """Ask the server to assign the room. Makes the room if it is gone, so look before."""
        ...

    async def delete_dispatch(self, room: str, dispatch_id: str) -> None:
        """Withdraw a dispatch; a worker that still serves it is told to stop."""
        ...

    async def remove_observer(self, room: str) -> None:
        """Put the observer out of the room."""
        ...


class LiveKitRooms:
    """`RoomService` on the server's API. The client belongs to the caller, who makes it with `livekit_api`."""

    def __init__(self, client: api.LiveKitAPI, server: LiveKitServer, agent_name: str) -> None:
        self._client = client
        self._server = server
        self._agent_name = agent_name

    async def rooms(self) -> list[str]:
        async with api_errors(self._server):
            listing = await self._client.room.list_rooms(api.ListRoomsRequest())
        return [room.name for room in listing.rooms if room.name]

    async def attendance(self, room: str) -> Attendance:
        try:
            async with api_errors(self._server):
                listing = await self._client.room.list_participants(api.ListParticipantsRequest(room=room))
        except RoomGone:
            return Attendance(people=False, observer=False)
        return Attendance(
            people=any(each.kind in _PEOPLE and not each.permission.hidden for each in listing.participants),
            observer=any(each.identity == OBSERVER_IDENTITY for each in listing.participants),
        )

    async def dispatches(self, room: str) -> list[Dispatch]:
        async with api_errors(self._server):
            listing = await self._client.agent_dispatch.list_dispatch(room)
        # Each room also lists a default dispatch with an empty agent name: not ours.
        return [_dispatch(each) for each in listing if each.agent_name == self._agent_name and each.id]

    async def create_dispatch(self, room: str) -> Dispatch:
        request = api.CreateAgentDispatchRequest(agent_name=self._agent_name, room=room)
        async with api_errors(self._server):
            made = await self._client.agent_dispatch.create_dispatch(request)
        if not made.id:
            raise Unavailable(f"LiveKit at {self._server.url} answered without a dispatch")
        return _dispatch(made)

    async def delete_dispatch(self, room: str, dispatch_id: str) -> None:
        async with api_errors(self._server):
            await self._client.agent_dispatch.delete_dispatch(dispatch_id, room)

    async def remove_observer(self, room: str) -> None:
        request = api.RoomParticipantIdentity(room=room, identity=OBSERVER_IDENTITY)
        async with api_errors(self._server):
            await self._client.room.remove_participant(request)


def _dispatch(message: api.AgentDispatch) -> Dispatch:
    return Dispatch(message.id, message.state.created_at / 1e9)
