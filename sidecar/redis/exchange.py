"""Sends commands to Redis and reads their answers, in one bounded time, or raises one of the sidecar's errors."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from sidecar.errors import Unavailable
from sidecar.redis.connect import AnyRedis, ClusterClient
from sidecar.redis.refusals import error_code, translated

Command: TypeAlias = tuple[str | bytes | int | float, ...]

_WITHIN_S: Final = 2.0

# What redis-py raises besides its own errors when an answer is not Redis' protocol, or when its connection is closed
# by another task in the middle of one.
_GARBLED: Final = (ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError, RecursionError)


class Exchange:
    """Conversations with the server, or with those of a cluster. It does not own the client.

    Each is one write of pipelined commands and the reading of their answers. It ends with a PING that carries a random
    word: only if the last answer is this word does each answer belong to its command. A connection that failed, was
    interrupted or said anything unexpected is closed, so that it cannot shift later answers.
    """

    def __init__(self, redis: AnyRedis, within_s: float = _WITHIN_S) -> None:
        """`within_s`: how long one exchange may take, connecting included."""
        self._redis = redis
        self._within_s = within_s

    async def ask(self, key: str, commands: Sequence[Command]) -> list[Any]:
        """Send `commands` to the server that holds `key`; an answer each, as bytes, int, list, None or an error.

        Raises `Unavailable`, `CredentialsRefused`, or `ConfigurationError` where the address is not of a cluster.
        """
        answers: list[Any] = []
        async with self._translated(), self._connection(key) as connection:
            answers = await _converse(connection, commands)
        if isinstance(self._redis, ClusterClient) and any(map(_may_be_elsewhere, answers)):
            self._redis.stale = True
        return answers

    async def by_server(self, keys: Sequence[str]) -> list[list[str]]:
        """`keys` grouped by the server that holds them, in their order. Raises as `ask` does."""
        if not isinstance(self._redis, ClusterClient):
            return [list(keys)] if keys else []
        groups: dict[str, list[str]] = {}
        async with self._translated():
            await self._redis.ready()
            for key in keys:
                groups.setdefault(self._node(key).name, []).append(key)
        return list(groups.values())

    def _node(self, key: str) -> Any:
        assert isinstance(self._redis, ClusterClient)
        return self._redis.get_node_from_key(key)

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            with _lost_cancellation():
                async with asyncio.timeout(self._within_s):
                    yield
        except (RedisError, RedisClusterException, OSError, TimeoutError, *_GARBLED) as error:
            if isinstance(self._redis, ClusterClient):
                self._redis.stale = True
            raise translated(error) from error

    @asynccontextmanager
    async def _connection(self, key: str) -> AsyncIterator[AbstractConnection]:
        """A connection that goes back to its pool: open after a clean exchange, else closed."""
        if isinstance(self._redis, ClusterClient):
            await self._redis.ready()
            node = self._node(key)
            async with _closed_after_failure(node.acquire_connection(), node.release) as connection:
                yield connection
            return
        pool = self._redis.connection_pool
        opened: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            async with _closed_after_failure(opened) as connection:
                yield connection
        finally:
            await pool.release(opened)


async def check_credentials(redis: AnyRedis) -> bool:
    """True when Redis answers, False while it is away; raises `CredentialsRefused` when it refuses them."""
    try:
        await Exchange(redis).ask("engagement:rooms", ())
    except Unavailable:
        return False
    return True


async def _converse(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    word = secrets.token_hex(8)
    await connection.send_packed_command(connection.pack_commands((*commands, ("PING", word))), check_health=False)
    answers = []
    for _ in range(len(commands) + 1):
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            answers.append(error)
    last = answers.pop()
    if isinstance(last, ResponseError):
        raise last
    if last != word.encode():
        raise ValueError("an answer is missing, or there is one too many")
    if any(map(_may_be_elsewhere, answers)):
        await connection.disconnect(nowait=True)
    return answers


def _may_be_elsewhere(answer: object) -> bool:
    """Errors of a replica, of a server that is loading or of other slots: the name may lead to a better one by now."""
    return isinstance(answer, ResponseError) and error_code(answer) != "WRONGTYPE"


@asynccontextmanager
async def _closed_after_failure(
    connection: AbstractConnection, release: Callable[[AbstractConnection], None] = lambda _: None
) -> AsyncIterator[AbstractConnection]:
    try:
        yield connection
    except BaseException:  # also a cancellation leaves answers unread
        await connection.disconnect(nowait=True)
        raise
    finally:
        release(connection)


@contextmanager
def _lost_cancellation() -> Iterator[None]:
    """Raise a cancellation that the client lost.

    It sends through `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes together with the
    result (CPython issue 86296); a cancelled task would go on for ever.
    """
    task = asyncio.current_task()
    cancelled = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > cancelled:
            raise asyncio.CancelledError
