"""The only reader of the environment: one Settings tree, made of the stages' own Options."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from sidecar.addresses import check_encoding, checked_livekit_url, checked_redis_url, host_and_port
from sidecar.dispatch.lease import LeaseOptions
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.dispatch.load import LoadOptions
from sidecar.dispatch.watcher import WatcherOptions
from sidecar.dispatch.worker import WorkerOptions
from sidecar.drift import DriftOptions
from sidecar.engines import EngineOptions
from sidecar.errors import ConfigurationError
from sidecar.inference.fetch import FetchOptions
from sidecar.pipeline import PipelineOptions
from sidecar.publish.redis import PublishOptions
from sidecar.sources.livekit.options import LiveKitOptions
from sidecar.types import Options

_INSTALLED_PACK: Final = Path(__file__).parent / "pack"
_CHECKOUT_PACK: Final = Path(__file__).parents[1] / "models"
_LARGEST_CONFIG_BYTES: Final = 1_000_000


class Tree(Options, frozen=True):
    """What a TOML file in `SIDECAR_CONFIG` may set: a table for each part."""

    source: LiveKitOptions = LiveKitOptions()
    engines: EngineOptions = EngineOptions()
    pipeline: PipelineOptions = PipelineOptions()
    publish: PublishOptions = PublishOptions()
    worker: WorkerOptions = WorkerOptions()
    watcher: WatcherOptions = WatcherOptions()
    lease: LeaseOptions = LeaseOptions()
    load: LoadOptions = LoadOptions()
    fetch: FetchOptions = FetchOptions()
    drift: DriftOptions = DriftOptions()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; secrets stay out of `repr`."""

    tree: Tree
    livekit: LiveKitServer | None
    """None where the environment names no server: only a recording or the models can be worked on then."""
    redis_url: str = field(repr=False)
    http_host: str
    http_port: int
    state: Path
    models: Path

    def livekit_server(self) -> LiveKitServer:
        """Raises `ConfigurationError` where none is configured."""
        if self.livekit is None:
            raise ConfigurationError("set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
        return self.livekit


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment and the file it names. Raises `ConfigurationError` naming what to change."""
    env = os.environ if environ is None else environ
    host, port = host_and_port("SIDECAR_HTTP", env.get("SIDECAR_HTTP") or "127.0.0.1:8080")
    return Settings(
        tree=_read_tree(env.get("SIDECAR_CONFIG")),
        livekit=_livekit(env),
        redis_url=checked_redis_url(env.get("REDIS_URL") or "redis://127.0.0.1:6379/0"),
        http_host=host,
        http_port=port,
        state=Path(env.get("SIDECAR_STATE") or "state"),
        models=Path(env.get("SIDECAR_MODELS") or _own_pack()),
    )


def _own_pack() -> Path:
    """The pack that comes with the installation: a wheel has it inside the package, a checkout beside it."""
    return _INSTALLED_PACK if _INSTALLED_PACK.is_dir() else _CHECKOUT_PACK


def _read_tree(file: str | None) -> Tree:
    if not file:
        return Tree()
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_LARGEST_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"SIDECAR_CONFIG: cannot read {file}: {error.strerror}") from error
    if len(content) > _LARGEST_CONFIG_BYTES:
        raise ConfigurationError(f"SIDECAR_CONFIG: {file} is no configuration: it has more than a megabyte")
    try:
        return msgspec.toml.decode(content, type=Tree)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"SIDECAR_CONFIG: {file}: {error}") from error


def _livekit(env: Mapping[str, str]) -> LiveKitServer | None:
    names = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
    given = [env.get(name, "") for name in names]
    if not any(given):
        return None
    absent = [name for name, value in zip(names, given, strict=True) if not value]
    if absent:
        raise ConfigurationError(f"{', '.join(absent)}: not set; all of {', '.join(names)} are needed")
    check_encoding(names, given)
    return LiveKitServer(checked_livekit_url(given[0]), *given[1:])
