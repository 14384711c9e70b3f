"""What every `LeaseStore` and every `RoomService` must do, real or not."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from sidecar.dispatch.lease import LeaseStore
from sidecar.dispatch.livekit_server import RoomGone
from sidecar.dispatch.rooms import Attendance, RoomService


class Wait(Protocol):
    """Let the store's own time pass."""

    async def __call__(self, seconds: float) -> None: ...


async def check_lease_store(leases: LeaseStore, wait: Wait) -> None:
    """Claim, exclude, renew, run out, release."""
    key, other = "engagement:lease:räume / 🙂 {1}", "engagement:lease:other"
    assert await leases.holders([]) == []
    assert await leases.holders([key, other]) == [None, None]

    assert await leases.claim(key, "a", 1.5) == "a"
    assert await leases.claim(key, "b", 1.5) == "a"
    assert await leases.holders([other, key]) == [None, "a"]

    await wait(0.9)
    assert await leases.claim(key, "a", 1.5) == "a"  # renewed
    await wait(0.9)
    assert await leases.holders([key]) == ["a"]
    await wait(0.9)
    assert await leases.holders([key]) == [None]  # ran out

    assert await leases.claim(key, "b", 1.5) == "b"
    await leases.release(key, "a")  # too late: it is b's
    assert await leases.holders([key]) == ["b"]
    await leases.release(key, "b")
    await leases.release(key, "b")
    assert await leases.holders([key]) == [None]


async def check_one_of_many_claims_wins(leases: LeaseStore) -> None:
    """Claims at once agree on one holder."""
    holders = await asyncio.gather(*(leases.claim("engagement:watcher", f"worker-{n}", 5) for n in range(20)))
    assert len(set(holders)) == 1


async def check_room_service(rooms: RoomService, room: str) -> None:
    """`room` exists, one person and the observer in it, and nothing was dispatched."""
    assert room in await rooms.rooms()
    assert await rooms.attendance(room) == Attendance(people=True, observer=True)
    assert await rooms.dispatches(room) == []

    first = await rooms.create_dispatch(room)
    assert await rooms.dispatches(room) == [first]
    second = await rooms.create_dispatch(room)
    assert {each.id for each in await rooms.dispatches(room)} == {first.id, second.id}
    await rooms.delete_dispatch(room, first.id)
    assert await rooms.dispatches(room) == [second]
    assert await _is_gone(rooms.delete_dispatch(room, first.id))

    await rooms.remove_observer(room)
    assert await rooms.attendance(room) == Attendance(people=True, observer=False)
    assert await _is_gone(rooms.remove_observer(room))

    assert await rooms.attendance("no such room") == Attendance(people=False, observer=False)


async def _is_gone(call: Awaitable[object]) -> bool:
    try:
        await call
    except RoomGone:
        return True
    return False
