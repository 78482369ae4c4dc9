"""Shared state in Redis: one server, one that Sentinels watch, or a cluster."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from math import ceil
from typing import Any, Final, TypeVar

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from gateway.config.state_specs import REDIS_PORT, RedisSpec, host_and_port, redis_address
from gateway.plugin import Clock, Metrics
from gateway.state.remote import RemoteShared, checked_ttl

CLIENT_NAME: Final = "aiogate"
# The sum goes back as text: a number that passes through Lua is exact up to 2**53 only.
ADD: Final = """
local fresh = redis.call('EXISTS', KEYS[1]) == 0
redis.call('INCRBY', KEYS[1], ARGV[1])
if fresh then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
"""
# How Redis says that INCRBY cannot be, alone or from a script.
NOT_A_NUMBER: Final = ("not an integer", "would overflow", "WRONGTYPE")
LOST: Final = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.RedisClusterException, OSError)

T = TypeVar("T")
Command = tuple[str | bytes | int, ...]


class RedisShared(RemoteShared):
    """A `gateway.plugin.Shared` and `Scripting`. Times to live are exact to the millisecond, numbers have 64 bits.

    A call whose connection breaks is sent again, so that an addition or a script may happen twice then.
    Mutable state: beside that of every store the connections, which are redis-py's.
    """

    def __init__(self, spec: RedisSpec, clock: Clock, metrics: Metrics) -> None:
        super().__init__("redis", _name(spec), spec.timeout, spec.max_connections, clock, metrics)
        self._prefix = spec.prefix
        self._sentinel = _sentinel(spec) if spec.sentinel is not None else None
        self._cluster = _cluster(spec) if spec.cluster is not None else None
        self._client: Any = self._cluster or _server(spec, self._sentinel)

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        value: bytes | None = await self._do("GET", self._key(key))
        return value

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store, for `ttl` seconds. ValueError for a time that is not positive."""
        lifetime = _milliseconds(ttl)
        await self._do("SET", self._key(key), value, *(() if lifetime is None else ("PX", lifetime)))

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        """Add to a number (0 before) and return the sum; `ttl` counts from the first addition.

        ValueError where something else than a number is stored, and for sums beyond 64 bits.
        """
        lifetime = _milliseconds(ttl)

        async def total() -> int | None:
            try:
                if lifetime is None:
                    return int(await self._client.execute_command("INCRBY", self._key(key), amount))
                return int((await self._evaluate(ADD, [(self._key(key), (b"%d" % amount, b"%d" % lifetime))]))[0])
            except exceptions.ResponseError as error:
                if any(words in str(error) for words in NOT_A_NUMBER):
                    return None
                raise

        found = await self._ask(total)
        if found is None:
            raise ValueError("the key holds no number, or the sum has more than 64 bits")
        return found

    async def delete(self, key: str) -> None:
        """Forget."""
        await self._do("DEL", self._key(key))

    async def run(self, script: str, calls: Sequence[tuple[str, Sequence[str | int]]]) -> list[Any]:
        """Run a Lua script once for each call, a key and its arguments, all in one round trip.

        The results stand in the order of the calls: int, bytes, None, or a list of these. SharedUnavailable also when
        the script fails; the other calls may have run then.
        """
        if not calls:
            return []
        keyed = [(self._key(key), [_encoded(argument) for argument in arguments]) for key, arguments in calls]
        return await self._ask(lambda: self._evaluate(script, keyed))

    # how it is done

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        return await super()._ask(call if self._cluster is None else lambda: _once_more(call))

    def _key(self, key: str) -> bytes:
        return _encoded(self._prefix + key)

    async def _do(self, *command: str | bytes | int) -> Any:
        return await self._ask(lambda: self._client.execute_command(*command))

    async def _evaluate(self, script: str, calls: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Any]:
        digest = _digest(script)
        commands: list[Command] = [("EVALSHA", digest, 1, key, *arguments) for key, arguments in calls]
        results = await self._pipelined(commands)
        unknown = [number for number, result in enumerate(results) if isinstance(result, exceptions.NoScriptError)]
        if unknown:
            # Only these have not run.
            await self._client.script_load(script)
            again = await self._pipelined([commands[number] for number in unknown])
            for number, result in zip(unknown, again, strict=True):
                results[number] = result
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    async def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        """What came of each command: an answer, or the error."""
        if len(commands) == 1:
            return [await self._alone(commands[0])]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        results = await pipeline.execute(raise_on_error=False)
        # A cluster's pipeline does not ask again where a kept connection was closed meanwhile.
        return [
            await self._alone(command) if isinstance(result, exceptions.ConnectionError) else result
            for command, result in zip(commands, results, strict=True)
        ]

    async def _alone(self, command: Command) -> Any:
        try:
            return await self._client.execute_command(*command)
        except exceptions.ResponseError as error:
            return error

    async def _connect(self) -> None:
        if self._cluster is not None:
            await self._cluster.initialize()
        await self._ping()

    async def _ping(self) -> None:
        # Of a cluster all must answer: one master that is stuck would take the store down again at once.
        masters = {"target_nodes": RedisCluster.PRIMARIES} if self._cluster is not None else {}
        await self._client.execute_command("PING", **masters)

    async def _disconnect(self) -> None:
        if self._cluster is not None:
            nodes = self._cluster.nodes_manager
            # It leaves connections open when it has just found out that its map of the cluster is old.
            closings: list[Callable[[], Awaitable[Any]]]
            closings = [self._cluster.aclose, nodes.aclose, lambda: nodes.aclose("startup_nodes")]
        else:
            closings = [lambda: self._client.connection_pool.disconnect(inuse_connections=False)]
        if self._sentinel is not None:
            # redis-py asks them in this order until one answers: one that is stuck must not stay the first.
            self._sentinel.sentinels.append(self._sentinel.sentinels.pop(0))
            closings.append(self._sentinel.aclose)
        for closing in closings:
            with contextlib.suppress(Exception):
                await closing()

    def _is_lost(self, error: Exception) -> bool:
        return isinstance(error, LOST)

    def _words(self, error: Exception) -> str:
        # What Redis says may repeat the command, and so a key or a password.
        if isinstance(error, exceptions.ResponseError):
            return f"it answers with {type(error).__name__}"
        if isinstance(error, exceptions.RedisClusterException):
            cause = error.__cause__
            return f"no node can be asked: {cause}" if isinstance(cause, LOST) else type(error).__name__
        return (str(error) if self._is_lost(error) else "") or type(error).__name__


async def _once_more(call: Callable[[], Awaitable[T]]) -> T:
    """A cluster whose nodes have closed idle connections cannot be asked where slots are; then all are opened anew."""
    try:
        return await call()
    except exceptions.RedisClusterException:
        return await call()


def _encoded(value: str | int) -> bytes:
    # Keys and arguments may be made of what a client sent, which may be no text.
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b"%d" % value


@lru_cache(maxsize=64)
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _milliseconds(ttl: float | None) -> int | None:
    seconds = checked_ttl(ttl)
    return None if seconds is None else ceil(seconds * 1000)


def _name(spec: RedisSpec) -> str:
    if spec.sentinel is not None:
        return f"redis {spec.sentinel.service} of {', '.join(spec.sentinel.nodes)}"
    if spec.cluster is not None:
        return f"redis cluster of {', '.join(spec.cluster.nodes)}"
    return spec.url or ""


def _options(spec: RedisSpec) -> dict[str, Any]:
    """What all connections have in common.

    redis-py's timeout of reads and writes counts for each of them anew, and on Python 3.11 takes a task for each write,
    which may swallow a cancellation: instead the whole call has one. The turns of RemoteShared bound the connections:
    redis-py's own limit raises where it should wait. Protocol 2 costs the same per call, and one round trip less to
    connect.
    """
    return {
        "socket_timeout": None,
        "socket_connect_timeout": float(spec.connect_timeout),
        "retry": Retry(NoBackoff(), spec.retries),
        "max_connections": 2 * spec.max_connections,
        "client_name": CLIENT_NAME,
        "driver_info": None,
        "protocol": 2,
    }


def _account(spec: RedisSpec) -> dict[str, Any]:
    return {"username": spec.username, "password": spec.password.reveal() if spec.password is not None else None}


def _server(spec: RedisSpec, sentinel: Sentinel | None) -> Any:
    options = {**_options(spec), **_account(spec)}
    if sentinel is not None and spec.sentinel is not None:
        return sentinel.master_for(spec.sentinel.service, db=spec.db or 0, ssl=bool(spec.tls), **options)
    host, port, db, tls = redis_address(spec.url or "")
    return Redis(host=host, port=port, db=db, ssl=tls, **options)


def _sentinel(spec: RedisSpec) -> Sentinel | None:
    if spec.sentinel is None:
        return None
    own = spec.sentinel.password
    options = {
        **_options(spec),
        "password": own.reveal() if own is not None else None,
        "ssl": bool(spec.tls),
        "retry": Retry(NoBackoff(), 0),
    }
    nodes = [host_and_port(node, REDIS_PORT) for node in spec.sentinel.nodes]
    return Sentinel(nodes, sentinel_kwargs=options)  # type: ignore[no-untyped-call]


def _cluster(spec: RedisSpec) -> RedisCluster | None:
    if spec.cluster is None:
        return None
    nodes = [ClusterNode(*host_and_port(node, REDIS_PORT)) for node in spec.cluster.nodes]
    return RedisCluster(
        startup_nodes=nodes,
        # The names of the configuration stay true when all nodes have moved.
        dynamic_startup_nodes=False,
        ssl=bool(spec.tls),
        **_options(spec),
        **_account(spec),
    )
