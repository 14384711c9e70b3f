"""What happens in the fault world, one small thing at a time: drawn by hypothesis or by a seeded generator."""

import errno
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from sidecar.errors import InferenceFailed, Overloaded, TrackUnavailable
from sidecar.types import ParticipantKind, TranscriptOffered
from tests.faults.restless import Words
from tests.faults.rooms import ObservedRoom
from tests.faults.tasks import KilledByTest, kill_task
from tests.faults.world import FaultWorld

_ERRORS: Final[tuple[Callable[[], Exception], ...]] = (
    lambda: KilledByTest("an error that nothing expects"),
    lambda: ValueError("cannot reshape array"),
    lambda: OSError(errno.EIO, "Input/output error"),
    MemoryError,
    lambda: Overloaded("shed"),
    lambda: InferenceFailed("lost device"),
    lambda: TrackUnavailable("the track is gone"),
)
_WAITS_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_RUBBISH: Final = (
    b"<html><body>502 Bad Gateway</body></html>",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"-ERR nonsense\r\n",
    b"+OK\r\n" * 400,
    b":1\r\n" * 400,
    b"$-1\r\n" * 400,
    b"*1\r\n:1\r\n" * 100,
    bytes(range(256)),
    b"-LOADING Redis is loading the dataset in memory\r\n" * 400,
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n" * 400,
    b"-READONLY You can't write against a read only replica.\r\n" * 400,
)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: `who` picks the room and the person, `choice` a variant."""

    name: str
    who: int
    choice: int

    async def apply(self, world: FaultWorld) -> None:
        room = world.rooms[self.who % len(world.rooms)]
        done = ACTIONS[self.name](world, room, self.who // len(world.rooms), self.choice)
        if done is not None:
            await done


def random_action(generator: random.Random) -> Action:
    """One action, the frequent ones more often."""
    [name] = generator.choices(list(WEIGHTS), list(WEIGHTS.values()))
    return Action(name, generator.randrange(12), generator.randrange(12))


def _change(name: str) -> Callable[[FaultWorld, ObservedRoom, int, int], None]:
    return lambda world, room, who, choice: room.emit(getattr(room.model, name)(who, choice))


def _transcript(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> None:
    person = room.model.people[who % len(room.model.people)]
    words = (
        Words(world.clock),
        Words(world.clock, takes_s=3.0),
        Words(world.clock, error=TrackUnavailable("broke off")),
        Words(world.clock, error=KilledByTest("the SDK failed")),
    )[choice % 4]
    offer = TranscriptOffered("s1", person.identity, ParticipantKind.STANDARD, person.identity, words)
    room.emit([offer] * (40 if choice == 11 else 1))


def _session(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> Awaitable[None] | None:
    if room.observation is None:
        room.attach()
        return None
    if choice % 4 == 3:
        return room.break_call(KilledByTest("the call failed"))
    return room.detach(ended=bool(choice % 2))


def _error(kind: str) -> Callable[[FaultWorld, ObservedRoom, int, int], None]:
    def act(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> None:
        getattr(room.trouble, kind).extend(_ERRORS[(who + choice) % len(_ERRORS)]() for _ in range(1 + choice // 8))

    return act


def _slow(kind: str) -> Callable[[FaultWorld, ObservedRoom, int, int], None]:
    return lambda world, room, who, choice: setattr(room.trouble, kind, _WAITS_S[choice % len(_WAITS_S)])


def _end_tap(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> None:
    if taps := room.taps():
        taps[choice % len(taps)].units.put_nowait(None)


def _disk(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> None:
    files, match = world.files, ("*", "audit/*", "spool/*")[who % 3]
    (
        lambda: files.fail("write", errno.ENOSPC, match=match),
        lambda: files.fail("write", errno.EIO, times=3, match=match),
        lambda: files.fail("fsync", errno.EIO, match=match),
        lambda: files.fail("fsync", errno.EIO, times=1, match=match),
        lambda: files.short_write(7, times=2, match=match),
        lambda: files.fill(2000, match=match),
        lambda: files.slow("fsync", 0.05, match=match),
        lambda: files.fail("unlink", errno.EIO, times=2, match=match),
        lambda: files.fail("create", errno.EMFILE, times=3, match=match),
        # One that passes: a segment that cannot be read is counted as such, without the number of its events.
        lambda: files.fail("read", errno.EMFILE, times=2, match=match),
        lambda: (files.fail("ftruncate", errno.EIO, match=match), files.fail("write", errno.ENOSPC, match=match)),
        lambda: files.fail("replace", errno.EIO, match=match),
    )[choice % 12]()


def _network(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> None:
    proxy = world.proxy
    if proxy is None:
        return
    (
        proxy.drop,
        proxy.sever,
        proxy.vanish,
        lambda: proxy.delay(0.05 * who),
        lambda: proxy.truncate(37 * who),
        lambda: proxy.rubbish(_RUBBISH[who % len(_RUBBISH)]),
        lambda: proxy.rubbish(_RUBBISH[who % len(_RUBBISH)], forward=True),
        lambda: proxy.cut_mid_transaction(b"EXEC"),
        lambda: proxy.cut_mid_transaction(b"EXEC", after=True, times=2),
        lambda: proxy.cut_mid_transaction(b"PUBLISH"),
        proxy.heal,
        proxy.heal,
    )[choice % 12]()


def _kill(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> None:
    if victims := world.victims():
        kill_task(victims[(who + choice) % len(victims)])


def _heal(world: FaultWorld, room: ObservedRoom, who: int, choice: int) -> None:
    if choice % 2:
        world.files.heal()
    else:
        room.trouble.heal()


WEIGHTS: Final = {
    "declare": 12,
    "publish": 8,
    "unpublish": 3,
    "mute": 4,
    "leave": 3,
    "rejoin": 3,
    "transcript": 6,
    "session": 2,
    "end_tap": 2,
    "fail_make": 1,
    "fail_observe": 3,
    "fail_fuse": 2,
    "fail_open": 2,
    "fail_units": 2,
    "fail_close": 2,
    "slow_observe": 1,
    "slow_open": 1,
    "slow_close": 2,
    "disk": 5,
    "network": 6,
    "kill": 3,
    "heal": 5,
    "wait": 10,
}
"""How often each action is drawn by `random_action`."""

ACTIONS: Final[dict[str, Callable[[FaultWorld, ObservedRoom, int, int], Awaitable[None] | None]]] = {
    **{name: _change(name) for name in ("declare", "publish", "unpublish", "mute", "leave", "rejoin")},
    **{f"fail_{kind}": _error(kind) for kind in ("make", "observe", "fuse", "open", "units", "close")},
    **{f"slow_{kind}": _slow(f"{kind}_takes_s") for kind in ("observe", "open", "close")},
    "transcript": _transcript,
    "session": _session,
    "end_tap": _end_tap,
    "disk": _disk,
    "network": _network,
    "kill": _kill,
    "heal": _heal,
    "wait": lambda world, room, who, choice: world.pass_time(_WAITS_S[choice % len(_WAITS_S)]),
}
