"""Checks the addresses in the environment before anything is connected.

Every error names the variable and what to change. None quotes the address, which may hold a password.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote_to_bytes, urlsplit

from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from sidecar.errors import ConfigurationError

_LIVEKIT_SCHEMES: Final = ("ws", "wss", "http", "https")
_REDIS_SCHEMES: Final = ("redis", "rediss", "redis+cluster", "rediss+cluster")
_CLUSTER: Final = "+cluster"
_UNPRINTABLE: Final = re.compile(r"[\s\x00-\x1f\x7f\\]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DATABASE: Final = re.compile(r"/?[0-9]{0,4}", re.ASCII)


def checked_livekit_url(url: str) -> str:
    """Return `LIVEKIT_URL` as it is, if it is the address of a server. Raises `ConfigurationError`."""
    variable = "LIVEKIT_URL"
    parts = _split(variable, url, f"{', '.join(f'{scheme}://' for scheme in _LIVEKIT_SCHEMES)} and a host")
    if parts.scheme not in _LIVEKIT_SCHEMES:
        raise ConfigurationError(f"{variable}: must begin with {', '.join(f'{each}://' for each in _LIVEKIT_SCHEMES)}")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{variable}: no user or password here; set LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ConfigurationError(f"{variable}: remove everything from '?' or '#' on")
    _check_host_and_port(variable, parts)
    return url


def checked_redis_url(url: str) -> str:
    """Return `REDIS_URL` as it is, if a client can be made of it. Raises `ConfigurationError`.

    `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, `redis+cluster://` and `rediss+cluster://`
    for a cluster (without a database), `unix://[user:password@]/path[?db=N]`.
    """
    variable = "REDIS_URL"
    parts = _split(variable, url, "redis://host:port/database")
    _check_escapes(variable, url)
    if parts.fragment or url.endswith("#"):
        raise ConfigurationError(f"{variable}: write a '#' of the password as %23")
    if parts.scheme == "unix":
        if parts.hostname or not parts.path.strip("/"):
            raise ConfigurationError(f"{variable}: name the socket by its whole path: unix:///run/redis.sock")
    elif parts.scheme in _REDIS_SCHEMES:
        _check_host_and_port(variable, parts, "; in a password write '/' as %2F, '?' as %3F and '#' as %23")
        _check_database(variable, parts)
    else:
        known = ", ".join(f"{each}://" for each in (*_REDIS_SCHEMES, "unix"))
        raise ConfigurationError(f"{variable}: must begin with one of {known}")
    _check_client_options(variable, url, parts)
    return url


def host_and_port(variable: str, value: str) -> tuple[str, int]:
    """Read an address to listen on: HOST:PORT, IPv6 in brackets, port 0 for any free one.

    Raises `ConfigurationError`.
    """
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or not _is_number(port) or int(port) > 65535:
        raise ConfigurationError(f"{variable}: not HOST:PORT, for example 127.0.0.1:8080 (0.0.0.0:8080: all of IPv4)")
    if ":" in host and not bracketed:
        raise ConfigurationError(f"{variable}: write an IPv6 address in brackets, for example [::1]:8080")
    if bracketed:
        host = host[1:-1]
        if not _is_ipv6(host):
            raise ConfigurationError(f"{variable}: not an IPv6 address between the brackets")
    elif not _is_host_name(host):
        raise ConfigurationError(f"{variable}: not a host name or address before the port")
    return host, int(port)


def check_encoding(variables: Sequence[str], values: Sequence[str]) -> None:
    """Refuse bytes that are not UTF-8; Python reads them from the environment as surrogates."""
    for variable, value in zip(variables, values, strict=True):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ConfigurationError(f"{variable}: must be UTF-8")


def _split(variable: str, url: str, example: str) -> SplitResult:
    check_encoding([variable], [url])
    if _UNPRINTABLE.search(url):  # urlsplit would silently remove some of them
        raise ConfigurationError(f"{variable}: remove spaces, line ends, backslashes and control characters")
    try:
        parts = urlsplit(url)
    except ValueError:  # its text quotes the address
        raise ConfigurationError(f"{variable}: not an address; check the host and its brackets") from None
    if "://" not in url:
        raise ConfigurationError(f"{variable}: must be an address such as {example}")
    return parts


def _check_host_and_port(variable: str, parts: SplitResult, hint: str = "") -> None:
    try:
        port = parts.port
    except ValueError:  # its text quotes a part of a password that contains '/'
        raise ConfigurationError(f"{variable}: the port must be a number from 1 to 65535{hint}") from None
    if port == 0 or parts.netloc.endswith(":"):
        raise ConfigurationError(f"{variable}: the port must be a number from 1 to 65535{hint}")
    host = parts.hostname
    address = parts.netloc.rpartition("@")[2]
    if not host or not (_is_ipv6(host) if address.startswith("[") else _is_host_name(host)):
        raise ConfigurationError(f"{variable}: must name a host{hint}")


def _check_escapes(variable: str, url: str) -> None:
    try:
        unquote_to_bytes(url).decode("utf-8")
        sound = _BAD_ESCAPE.search(url) is None
    except UnicodeDecodeError:
        sound = False
    if not sound:
        raise ConfigurationError(f"{variable}: '%' must begin an escape of UTF-8, such as %25 for '%' itself")


def _check_database(variable: str, parts: SplitResult) -> None:
    if not _DATABASE.fullmatch(parts.path):
        raise ConfigurationError(f"{variable}: after the port only '/' and the number of a database may follow")
    if parts.scheme.endswith(_CLUSTER) and parts.path.strip("/0"):
        raise ConfigurationError(f"{variable}: a cluster has database 0 only")


def _check_client_options(variable: str, url: str, parts: SplitResult) -> None:
    """What stands after '?' is for the client: have it make a connection, without connecting."""
    single = url.replace(f"{parts.scheme}://", f"{parts.scheme.removesuffix(_CLUSTER)}://", 1)
    try:
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
        ConnectionPool.from_url(single).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):  # their text quotes values
        hint = "write a '?' of the password as %3F"
        raise ConfigurationError(f"{variable}: the Redis client does not take the options after '?'; {hint}") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_host_name(host: str) -> bool:
    if re.search(r"[\s%\[\]<>^`{|}\"'@/?#,;=&!$*+()~\\]", host):
        return False
    try:
        return bool(host.encode("idna"))
    except UnicodeError:  # an empty or too long label: getaddrinfo would raise the same
        return False
