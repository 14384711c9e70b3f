"""What Redis' error answers mean, in words for the operator. They never quote the server: it may quote keys."""

import re
from typing import Final

from redis import exceptions as redis_errors

from sidecar.errors import ConfigurationError, CredentialsRefused, SidecarError, Unavailable

_CREDENTIALS: Final = {
    "NOAUTH": "it asks for a password and there is none",
    "WRONGPASS": "the user or the password is wrong",
    "NOPERM": "the user lacks a right (NOPERM); the README lists those that are needed",
}

_PASSING: Final = {
    "LOADING": "it is loading its data",
    "READONLY": "it is a read-only replica; the name in REDIS_URL must lead to the master",
    "OOM": "it is out of memory; raise its `maxmemory` or free some",
    "MISCONF": "it cannot save to its disk and refuses writes",
    "NOREPLICAS": "it has too few replicas and refuses writes (`min-replicas-to-write`)",
    "MASTERDOWN": "it is a replica that has lost its master",
    "EXECABORT": "it refused a transaction",
    "BUSY": "it is busy with a script of another client",
    "CLUSTERDOWN": "the cluster is down, or no server of it holds some keys",
    "TRYAGAIN": "the cluster is moving keys",
    "ASK": "the cluster is moving keys",
    "MOVED": "keys are on another server of its cluster; REDIS_URL must begin with redis+cluster:// there",
    "CROSSSLOT": "it is a cluster; write redis+cluster:// in REDIS_URL",
}

_IN_SCRIPT: Final = re.compile(r"@user_script: ?\d+: -([A-Z]+) ")
_NO_CLUSTER: Final = "cluster support disabled"


def error_code(error: BaseException) -> str:
    """The first word of an error answer, such as `READONLY`; empty for other errors."""
    if not isinstance(error, redis_errors.RedisError):
        return ""
    in_script = _IN_SCRIPT.search(str(error))  # before Redis 7 a script's error is an ERR that quotes it
    if in_script:
        return in_script[1]
    word = str(error.status_code or str(error).partition(" ")[0])
    return word if word.isupper() else ""


def translated(error: BaseException) -> SidecarError:
    """The sidecar's error for one of redis-py's, of the network or of the protocol."""
    error = _cause(error)
    code = error_code(error)
    return _credentials(error, code) or _state(error, code) or Unavailable(f"Redis cannot be reached: {_path(error)}")


def _credentials(error: BaseException, code: str) -> SidecarError | None:
    refused = isinstance(error, redis_errors.AuthenticationError | redis_errors.AuthorizationError)
    if code not in _CREDENTIALS and not refused:
        return None
    reason = _CREDENTIALS.get(code, "no password is set there" if code == "ERR" else code)
    return CredentialsRefused(f"Redis refused the credentials in REDIS_URL: {reason}")


def _state(error: BaseException, code: str) -> SidecarError | None:
    if isinstance(error, redis_errors.SlotNotCoveredError):
        return Unavailable(f"Redis cannot be used at present: {_PASSING['CLUSTERDOWN']}")
    if not code:
        return None
    if _NO_CLUSTER in str(error):
        return ConfigurationError("REDIS_URL names a cluster, but this server is none: write redis:// instead")
    if "DB index is out of range" in str(error):
        return ConfigurationError("REDIS_URL names a database that the server does not have; it begins with 0")
    if "max number of clients" in str(error):
        return Unavailable("Redis cannot be used at present: it has too many clients (`maxclients`)")
    return Unavailable(f"Redis cannot be used at present: {_PASSING.get(code, f'it refused a command with {code}')}")


def _path(error: BaseException) -> str:
    """What is wrong on the way to the server, or with what answers there."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate is not trusted or is for another name; name the CA's file with ?ssl_ca_certs="
    if "WRONG_VERSION_NUMBER" in text:
        return "it does not speak TLS on this port"
    if text.startswith("Timeout connecting"):
        return "nothing answers in time; with rediss:// the port must speak TLS"
    known = isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError)
    if not known:
        return f"what answers does not speak Redis' protocol ({type(error).__name__})"
    return text or "no answer in time"


def _cause(error: BaseException) -> BaseException:
    """The error answer, or the failure of the network, behind what the cluster client makes of it."""
    chain = [error]
    while (behind := chain[-1].__cause__ or chain[-1].__context__) is not None and behind not in chain:
        chain.append(behind)
    if answer := next((each for each in chain if error_code(each)), None):
        return answer
    if isinstance(error, redis_errors.RedisClusterException):
        return next((each for each in chain if isinstance(each, redis_errors.RedisError | OSError)), error)
    return error
