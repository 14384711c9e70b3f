"""From `REDIS_URL` to a client of one Redis server or of a cluster."""

from typing import Any, Final, Self, TypeAlias
from urllib.parse import SplitResult, parse_qs, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sidecar.errors import ConfigurationError

_CLUSTER: Final = "+cluster"
_SCHEMES: Final = ("redis", "rediss", "redis+cluster", "rediss+cluster", "unix")
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS: Final = frozenset({*_TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname"})
_QUERY: Final = _TLS_OPTIONS | {
    "client_name",
    "db",
    "health_check_interval",
    "socket_connect_timeout",
    "socket_timeout",
}
_TIMEOUT_S: Final = 2.0


class ClusterClient(RedisCluster):
    """A `RedisCluster` that, as `Redis`, can be made and entered while no server answers."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._seed = self.startup_nodes[0]
        self.stale = False
        """Set it after a failure: the slots are looked up again before the next use."""

    async def ready(self) -> None:
        """Look up which server holds which slots, unless that is known. Raises what redis-py raises."""
        # The client forgets the address it was given once it knows the cluster; after a fail-over only that name may
        # lead to a living server.
        self.nodes_manager.startup_nodes.setdefault(self._seed.name, self._seed)
        await self.initialize()
        if self.stale:
            await self.nodes_manager.initialize()
            self.stale = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


AnyRedis: TypeAlias = Redis | ClusterClient


def connect(url: str) -> AnyRedis:
    """A client for `redis://`, `rediss://` (TLS), `unix://`, `redis+cluster://` or `rediss+cluster://`.

    It connects when it is used and leaves retrying to its caller. Raises `ConfigurationError` that says what is wrong
    with REDIS_URL without quoting it, since it may hold a password.
    """
    parts = _split(url)
    _check_query(parts)
    cluster = parts.scheme.endswith(_CLUSTER)
    address = parts._replace(scheme=parts.scheme.removesuffix(_CLUSTER)).geturl()
    options: dict[str, Any] = {
        "socket_connect_timeout": _TIMEOUT_S,
        "socket_timeout": _TIMEOUT_S,
        "protocol": 2,
        "driver_info": None,  # no CLIENT SETINFO: one right less, and one round trip
    }
    try:
        _check_tls(parse_url(address))
        if cluster:
            return ClusterClient.from_url(address, retry=Retry(NoBackoff(), 0), require_full_coverage=False, **options)  # type: ignore[return-value]  # its `from_url` makes the class it is called on
        return Redis.from_url(address, retry=None, **options)
    except (ValueError, TypeError, RedisError) as error:
        raise ConfigurationError("REDIS_URL: an option after the ? has a value that cannot be used") from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may quote a part of the password
        raise ConfigurationError(
            "REDIS_URL: host or port cannot be read; write redis://USER:PASSWORD@HOST:PORT/0 "
            "with special characters of the password percent-encoded"
        ) from None
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(f"REDIS_URL: begin it with one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    if port == 0:
        raise ConfigurationError("REDIS_URL: the port is from 1 to 65535")
    if parts.scheme == "unix":
        return parts
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdecimal()):
        raise ConfigurationError("REDIS_URL: the database after the host is a number")
    if parts.scheme.endswith(_CLUSTER) and (not parts.hostname or int(database or 0)):
        raise ConfigurationError("REDIS_URL: a cluster needs a host, and has only database 0")
    return parts


def _check_query(parts: SplitResult) -> None:
    names = parse_qs(parts.query, keep_blank_values=True).keys()
    if unknown := sorted(names - _QUERY):
        raise ConfigurationError(f"REDIS_URL: unknown option {unknown[0]!r}; known are {', '.join(sorted(_QUERY))}")
    if "db" in names and parts.scheme.endswith(_CLUSTER):
        raise ConfigurationError("REDIS_URL: a cluster has only database 0")
    if names & _TLS_OPTIONS and not parts.scheme.startswith("rediss"):
        raise ConfigurationError(f"REDIS_URL: {min(names & _TLS_OPTIONS)} needs rediss://")


def _check_tls(options: Any) -> None:
    """Load certificates now: redis-py would do so at each connection and look as if the server were away."""
    if options.get("connection_class") is not SSLConnection:
        return
    for name in _TLS_FILES:
        if name in options:
            try:
                with open(options[name], "rb"):
                    pass
            except OSError as error:
                raise ConfigurationError(f"REDIS_URL: {name}: cannot read the file: {error.strerror}") from error
    try:
        SSLConnection(**{name: value for name, value in options.items() if name in _TLS_OPTIONS}).ssl_context.get()
    except OSError as error:  # also the errors of `ssl`
        raise ConfigurationError("REDIS_URL: a file of ssl_ca_certs, ssl_certfile or ssl_keyfile is not PEM") from error
