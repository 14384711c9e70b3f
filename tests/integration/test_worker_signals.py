"""A worker drains on SIGINT, SIGTERM and SIGHUP, and ends cleanly while it is still loading."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.demo.servers import LOOPBACK, RedisProcess, free_port
from sidecar.dispatch.livekit_server import LiveKitServer

pytestmark = pytest.mark.integration

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WITHIN_S = 60.0


@pytest.fixture(params=["worker", "watch"])
def running(
    request: pytest.FixtureRequest, livekit_server: LiveKitServer, redis_server: RedisProcess, tmp_path: Path
) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        **os.environ,
        "LIVEKIT_URL": livekit_server.url,
        "LIVEKIT_API_KEY": livekit_server.api_key,
        "LIVEKIT_API_SECRET": livekit_server.api_secret,
        "REDIS_URL": redis_server.url,
        "SIDECAR_HTTP": f"{LOOPBACK}:{free_port()}",
        "SIDECAR_STATE": str(tmp_path / "state"),
    }
    command = [sys.executable, "-m", "sidecar.cli", "--verbose", request.param]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        process.http_url = f"http://{environment['SIDECAR_HTTP']}"  # type: ignore[attr-defined]
        yield process
        process.kill()


def until_answered(url: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=1):
            return
        time.sleep(0.05)
    pytest.fail("it does not answer")


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"it ended before it logged {words!r}")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_in_order(running: "subprocess.Popen[str]", number: signal.Signals) -> None:
    observes = "worker" in running.args  # type: ignore[operator]
    if observes:
        read_until(running, "registered")
    else:
        until_answered(running.http_url)  # type: ignore[attr-defined]
    running.send_signal(number)
    _, rest = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 0
    assert "Traceback" not in rest
    assert "draining" in rest or not observes


@pytest.mark.parametrize("running", ["worker"], indirect=True)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_models_load_ends_it_too(running: "subprocess.Popen[str]", number: signal.Signals) -> None:
    read_until(running, "sidecar.inference.local")
    running.send_signal(number)
    _, rest = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 0
    assert "Traceback" not in rest
    assert "registered" not in rest
