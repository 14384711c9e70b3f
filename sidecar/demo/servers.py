"""Real servers on free loopback ports, for the demo and the tests: `with LiveKitProcess() as livekit: ...`.

`python -m sidecar.demo.servers install [--browser]` installs those that are missing.
"""

import argparse
import http.client
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from sidecar.demo.install import (
    install_browser_client,
    install_chromium,
    install_livekit,
    install_namespaces,
    install_redis,
    livekit_binary,
    redis_binary,
)
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.errors import SidecarError, Unavailable

LOOPBACK: Final = "127.0.0.1"

TETHER: Final = [sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py"))]
"""Put before a command, makes it die with this process."""
_LOWEST_PORT: Final = 20_000
_PORTS: Final = 12_000
_READY_WITHIN_S: Final = 30.0
_STOPPED_WITHIN_S: Final = 5.0


class Readiness(Protocol):
    """Tells whether a server answers on a loopback port; raises `OSError` while nothing does."""

    def __call__(self, port: int) -> bool: ...


class ServerProcess:
    """A child process that serves one port of the loopback interface; it can stop and start again.

    Call it from the main thread: the child dies with the thread that started it.
    """

    def __init__(self, command: list[str], port: int, ready: Readiness) -> None:
        self.port = port
        self._command = command
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process

    def start(self) -> None:
        """Start and wait until the server answers. Raises `Unavailable` with its last words if it does not."""
        self._process = subprocess.Popen(  # noqa: S603 - the command is built here
            [*TETHER, *self._command], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + _READY_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Unavailable(f"{self._command[0]} did not start: {self._last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server and wait for it. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the server for good. Idempotent."""
        self.stop()
        self._log.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            return self._ready(self.port)
        except OSError:
            return False

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]


class LiveKitProcess(ServerProcess):
    """A LiveKit server. `settings` are added to its configuration, replacing whole sections."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        port = free_port()
        self.server = LiveKitServer(f"ws://{LOOPBACK}:{port}", "devkey", secrets.token_hex(16))
        configuration: dict[str, Any] = {
            "bind_addresses": [LOOPBACK],
            "port": port,
            "rtc": {
                "tcp_port": free_port(),
                "udp_port": free_port(socket.SOCK_DGRAM),
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "ips": {"includes": [f"{LOOPBACK}/32"]},  # media stay on loopback, too
            },
            "keys": {self.server.api_key: self.server.api_secret},
            "logging": {"level": "info"},
            **(settings or {}),
        }
        command = [str(livekit_binary()), "--node-ip", LOOPBACK, "--config-body", json.dumps(configuration)]
        super().__init__(command, port, _http_answers)


class RedisProcess(ServerProcess):
    """A Redis server without persistence; `stop` and `start` give an empty one on the same port.

    `settings` are lines of its configuration, added to the others.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        port = int((settings or {}).get("port") or free_port())
        self.url = f"redis://{LOOPBACK}:{port}/0"
        # A folder of its own: a server would load the dump that another one left in a shared folder.
        self._folder = tempfile.TemporaryDirectory(prefix="sidecar-redis-")
        options = {"port": str(port), "bind": LOOPBACK, "save": "", "appendonly": "no", "dir": self._folder.name}
        options.update(settings or {})
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        super().__init__([str(redis_binary()), *arguments], port, _redis_answers)

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port of TCP or UDP that is free at this moment.

    It lies below the range from which systems take the ports of outgoing connections, so that none of these takes it
    before the server does.
    """
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_PORTS)
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def _http_answers(port: int) -> bool:
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=1)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK


def _redis_answers(port: int) -> bool:
    with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


def main() -> int:
    """Install what is missing; 2 where there is no LiveKit server. Without a browser only its tests are skipped."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.demo.servers", description=__doc__)
    parser.add_argument("command", choices=["install"])
    parser.add_argument(
        "--browser",
        action="store_true",
        help="also what only tests need: Chromium, iproute2 and a Redis with TLS (Debian, as root), "
        "the JavaScript client (npm)",
    )
    arguments = parser.parse_args()
    try:
        print(install_livekit())  # noqa: T201 - the result of the command
    except SidecarError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    if arguments.browser:
        try:
            print(install_redis())  # noqa: T201
        except SidecarError as error:
            print(f"tests with TLS will be skipped: {error}", file=sys.stderr)  # noqa: T201
        try:
            print(install_chromium(), install_browser_client(), install_namespaces(), sep="\n")  # noqa: T201
        except SidecarError as error:
            print(f"tests with a browser will be skipped: {error}", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
