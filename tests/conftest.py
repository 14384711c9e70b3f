"""The real servers of the integration tests, and the data that some tests need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.demo.servers import LiveKitProcess, RedisProcess
from sidecar.dispatch.livekit_server import LiveKitServer


@pytest.fixture(scope="session")
def livekit_server() -> Iterator[LiveKitServer]:
    """A LiveKit server for the whole run: tests keep apart by the names of their rooms."""
    with LiveKitProcess() as process:
        yield process.server


@pytest.fixture
def redis_server() -> Iterator[RedisProcess]:
    """An empty Redis of the test's own, which it may stop and start (`.url`, `.stop()`, `.start()`)."""
    with RedisProcess() as process:
        yield process


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of data sets and clips; the test is skipped where it is absent."""
    from models.datasets import data_root as find

    root = Path(find())
    if not root.is_dir():
        pytest.skip(f"no data at {root}; set SIDECAR_DATA")
    return root
