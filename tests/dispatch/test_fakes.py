"""The fakes keep the contracts that the real services keep (see the integration tests)."""

from sidecar.dispatch.lease import LeaseStore
from sidecar.dispatch.rooms import RoomService
from tests.dispatch.contracts import check_lease_store, check_one_of_many_claims_wins, check_room_service
from tests.dispatch.fakes import FakeRoom, MemoryLeases, MemoryRooms
from tests.fakes.clock import VirtualClock


async def test_leases_in_memory() -> None:
    clock = VirtualClock()
    leases: LeaseStore = MemoryLeases(clock)
    await check_lease_store(leases, clock.advance)
    await check_one_of_many_claims_wins(leases)


async def test_rooms_in_memory() -> None:
    made = MemoryRooms(VirtualClock())
    made.known["one"] = FakeRoom(people=True, observer=True)
    rooms: RoomService = made
    await check_room_service(rooms, "one")
