"""The sink between a failing disk and a failing Redis: events are delivered in order, spooled or counted as lost."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sidecar.clock import SystemClock
from sidecar.publish.publisher import Envelope, RoomPublisher
from sidecar.publish.redis import PublishOptions, RedisSink, connect, stream_key
from sidecar.schema import RoomChange
from sidecar.supervisor import Supervisor
from sidecar.telemetry import Telemetry
from tests.faults.files import FileFaults, faulty_files
from tests.faults.invariants import RecordingSink, World, check_invariants
from tests.faults.proxy import FaultyProxy
from tests.faults.tasks import kill_task

pytestmark = pytest.mark.integration

ROOMS = ("demo", "team room/Ω")
PENDING = 10_000


class Setting:
    """A sink behind a proxy and on a disk, both of which can fail."""

    def __init__(self, folder: Path, server_port: int, proxy: FaultyProxy, disk: FileFaults) -> None:
        self.spool = folder / "spool"
        self.proxy = proxy
        self.disk = disk
        self.telemetry = Telemetry()
        self.supervisor = Supervisor(SystemClock(), self.telemetry)
        self.lost: list[Envelope] = []
        self._server_port = server_port
        self._publishers: dict[str, RoomPublisher] = {}

    @asynccontextmanager
    async def sink(self, **options: object) -> AsyncIterator[RedisSink]:
        sink = RedisSink(
            connect(f"redis://127.0.0.1:{self.proxy.port}/0"),
            self.spool,
            PublishOptions(retry_s=0.05, **options),  # type: ignore[arg-type]
            clock=SystemClock(),
            telemetry=self.telemetry,
            supervisor=self.supervisor,
        )
        sink.on_lost = self.lost.append
        self.recording = RecordingSink(sink)
        self._publishers = {
            room: RoomPublisher(room, f"epoch-{room}", "w1", self.recording, SystemClock()) for room in ROOMS
        }
        async with sink:
            yield sink

    def say(self, count: int, size: int = 0) -> None:
        """`count` events for each room; `size`: characters added to each."""
        for _ in range(count):
            for room, publisher in self._publishers.items():
                publisher.publish(RoomChange(room=room, change="attached", reason="x" * size or None))

    async def until(self, count: int, within_s: float = 20) -> None:
        """Until each room's stream holds so many events."""
        async with Redis.from_url(f"redis://127.0.0.1:{self._server_port}") as redis, asyncio.timeout(within_s):
            while min([await redis.xlen(stream_key(room)) for room in ROOMS]) < count:
                await asyncio.sleep(0.02)

    async def check(self) -> None:
        async with Redis.from_url(f"redis://127.0.0.1:{self._server_port}") as redis:
            entries = [entry for room in ROOMS for entry in await redis.xrange(stream_key(room))]
        check_invariants(
            World(
                telemetry=self.telemetry,
                published=self.recording.envelopes,
                delivered=[fields[b"event"] for _, fields in entries],
                lost=self.lost,
                spool_folder=self.spool,
            )
        )

    def count(self, name: str, *labels: str) -> float:
        metric = getattr(self.telemetry, name)
        return float((metric.labels(*labels) if labels else metric)._value.get())


@pytest.fixture
async def setting(redis_server, tmp_path) -> AsyncIterator[Setting]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultyProxy("127.0.0.1", redis_server.port))
        disk = stack.enter_context(faulty_files(tmp_path))
        yield Setting(tmp_path, redis_server.port, proxy, disk)


async def until_true(condition, within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("operation", ["open", "write", "fsync"])
async def test_a_broken_disk_does_not_stop_delivery(setting, operation):
    async with setting.sink() as sink:
        setting.say(5)
        await setting.until(5)
        setting.disk.fail(operation, errno.ENOSPC)
        setting.proxy.drop()
        setting.say(300)
        await until_true(lambda: not sink.connected and setting.disk.injected[operation] > 2)
        setting.proxy.heal()
        await setting.until(305)
        setting.say(5)
        await setting.until(310)
        assert setting.count("lost") == 0
    assert setting.supervisor.failing == {}
    await setting.check()


async def test_a_disk_that_fills_up_and_is_freed(setting):
    async with setting.sink():
        setting.proxy.drop()
        setting.say(100)
        await until_true(lambda: setting.count("spooled") == 200)
        setting.disk.fill(1000)
        setting.say(100)
        await until_true(lambda: setting.disk.injected["write"] > 2)
        setting.disk.heal()
        await until_true(lambda: setting.count("spooled") == 400)
        setting.proxy.heal()
        await setting.until(200)
        assert setting.count("lost") == 0
    await setting.check()


async def test_neither_disk_nor_redis(setting):
    """The queue in memory drops its oldest, and everything that is dropped is counted and reported."""
    async with setting.sink():
        setting.proxy.drop()
        setting.disk.fail("write", errno.ENOSPC)
        for _ in range(3):
            setting.say(2500)
            await asyncio.sleep(0.3)
        assert 4500 <= setting.count("lost") <= 5000
        setting.proxy.heal()
        await setting.until(2000)
        await until_true(lambda: len(setting.lost) == setting.count("lost"))
    await setting.check()


async def test_an_event_about_a_loss_neither_overtakes_nor_recurs(setting):
    async with setting.sink() as sink:
        gaps = 0

        def report(envelope):
            nonlocal gaps
            gaps += 1
            setting.lost.append(envelope)
            publisher = setting._publishers[envelope.room]
            publisher.publish(RoomChange(room=envelope.room, change="gap", reason="spool_full"))

        sink.on_lost = report
        setting.proxy.drop()
        setting.disk.fail("write", errno.ENOSPC)
        setting.say(PENDING // 2 + 500)
        assert gaps == 0
        await asyncio.sleep(0.3)
        setting.proxy.heal()
        setting.disk.heal()
        await until_true(lambda: gaps == len(setting.lost) > 500 and len(sink._pending) == 0)
    await setting.check()


async def test_a_segment_that_cannot_be_removed(setting):
    async with setting.sink():
        setting.proxy.drop()
        setting.say(20)
        await until_true(lambda: setting.count("spooled") == 40)
        setting.disk.fail("unlink")
        setting.proxy.heal()
        await setting.until(20)
        setting.say(5)
        await setting.until(25)
        assert setting.supervisor.failing == {}
    await setting.check()


async def test_a_spool_that_cannot_be_read(setting):
    async with setting.sink():
        setting.proxy.drop()
        setting.say(20)
        await until_true(lambda: setting.count("spooled") == 40)
    setting.disk.fail("open", match="*000001.jsonl")
    setting.proxy.heal()
    async with setting.sink():
        setting.say(20)
        await setting.until(20)
        assert setting.count("dropped", "spool", "damaged_segment") == 1


@pytest.mark.parametrize("task", ["event_intake", "event_spool"])
async def test_a_task_that_dies_starts_again(setting, task):
    async with setting.sink():
        setting.proxy.drop()
        setting.say(20)
        await until_true(lambda: setting.count("spooled") == 40)
        assert kill_task(task) == 1
        setting.say(20)
        await until_true(lambda: task in setting.supervisor.failing)
        setting.proxy.heal()
        await setting.until(40)
        assert setting.count("lost") == 0
    await setting.check()


FAULTS = {
    "dropped": lambda proxy: proxy.drop(),
    "silent": lambda proxy: proxy.vanish(),
    "late": lambda proxy: proxy.delay(5),
    "cut off": lambda proxy: proxy.truncate(40),
    "garbled": lambda proxy: proxy.rubbish(b"<html>502 Bad Gateway</html>\r\n"),
    "garbled, though done": lambda proxy: proxy.rubbish(b"\xff\xfe+OK\r\n$3\r\nabc\r\n", forward=True),
    "all OK": lambda proxy: proxy.rubbish(b"+OK\r\n" * 500),
    "cut before EXEC": lambda proxy: proxy.cut_mid_transaction(times=3),
    "cut after EXEC": lambda proxy: proxy.cut_mid_transaction(after=True, times=3),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broken_way_to_redis(setting, fault):
    async with setting.sink() as sink:
        setting.say(10)
        await setting.until(10)
        FAULTS[fault](setting.proxy)
        setting.say(100)
        await until_true(lambda: not sink.connected or setting.count("published", "engagement.room.v1") >= 220)
        setting.say(100)
        await asyncio.sleep(0.3)
        setting.proxy.heal()
        await setting.until(210)
        await until_true(lambda: sink.connected)
        setting.say(10)
        await setting.until(220)
        assert setting.count("lost") == 0
    assert setting.supervisor.failing == {}
    await setting.check()


async def test_an_overflow_of_the_spool_while_a_batch_is_on_its_way(setting):
    """The oldest segment is dropped while its events are being delivered: they are not reported as lost."""
    async with setting.sink(spool_max_bytes=1 << 20):
        setting.proxy.drop()
        setting.say(100, size=1000)
        await until_true(lambda: setting.count("spooled") == 200)
        setting.proxy.heal()
        setting.proxy.delay(0.7)
        await asyncio.sleep(0.2)
        for _ in range(8):
            setting.say(60, size=1000)
            await asyncio.sleep(0.1)
        setting.proxy.heal()
        setting.say(1)
        async with asyncio.timeout(20):
            while any(setting.spool.glob("*.jsonl")):
                await asyncio.sleep(0.05)
    assert setting.count("lost") > 0
    await setting.check()


@pytest.mark.parametrize("disk_works", [True, False])
async def test_closing_while_redis_is_silent(setting, disk_works):
    async with setting.sink():
        setting.proxy.vanish()
        if not disk_works:
            setting.disk.fail("write", errno.ENOSPC)
        setting.say(1000)
        started_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started_s < 6
    assert setting.count("lost") == (0 if disk_works else 2000)
    await setting.check()


async def test_an_event_after_the_end_is_counted(setting):
    async with setting.sink():
        setting.say(1)
    setting.say(1)
    assert setting.count("lost") == 2
