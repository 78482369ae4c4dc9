"""Shared state in memcached, by the client of the extra `aiogate[memcached]`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Final, TypeVar

from aiomcache import Client, ClientException
from aiomcache.pool import Connection

from gateway.config.state_specs import MEMCACHED_PORT, MemcachedSpec, host_and_port
from gateway.plugin import Clock, Metrics
from gateway.state.remote import RemoteShared, checked_ttl

# What memcached takes as a key (protocol.txt), ASCII alone. Others are hashed; none that is not looks like a hash.
PLAIN_KEY: Final = re.compile(r"(?!sha256:)[\x21-\x7e]+")
LONGEST_KEY: Final = 250
# A larger time to live is read as seconds since 1970, of which memcached knows 31 bits.
LONGEST_RELATIVE: Final = 30 * 86400
LATEST: Final = 1 << 31
LIMIT: Final = 1 << 64
NO_NUMBER: Final = "the key holds no number"
# How often a number is asked for that goes as soon as it was found.
ROUNDS: Final = 3

T = TypeVar("T")


class _Client(Client):
    """A client with one connection, which is closed for good when a call on it fails."""

    async def _execute_simple_command(self, conn: Connection, raw_command: bytes) -> bytes:
        # At the end of the stream aiomcache's own asks for the next line for ever, and holds the loop.
        conn.writer.write(raw_command)
        await conn.writer.drain()
        line = await conn.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("memcached closed the connection")
        return line[:-2]


class MemcachedShared(RemoteShared):
    """A `gateway.plugin.Shared`, within what memcached can.

    Times to live are whole seconds, rounded up; memcached may end them up to a second early. Numbers are 0 to
    2**64 - 1; `get` gives one that has lost a digit with a blank behind it. Values have at most 1 MiB, unless
    memcached runs with another limit.
    Mutable state: beside that of every store the clients that no call is using, the last used last.
    """

    def __init__(self, spec: MemcachedSpec, clock: Clock, metrics: Metrics) -> None:
        super().__init__("memcached", f"memcached {spec.address}", spec.timeout, spec.max_connections, clock, metrics)
        self._host, self._port = host_and_port(spec.address, MEMCACHED_PORT)
        self._prefix = spec.prefix
        self._idle: list[_Client] = []

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        name = self._key(key)
        return await self._ask(lambda: self._on_client(lambda client: client.get(name)))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store, for `ttl` seconds. ValueError for a time that is not positive."""
        name, lifetime = self._key(key), self._lifetime(ttl)
        await self._ask(lambda: self._on_client(lambda client: client.set(name, value, lifetime)))

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        """Add to a number (0 before) and return the sum; `ttl` counts from the first addition.

        ValueError where something else than a number is stored, and for sums below 0, which memcached cannot hold.
        Of two that take away at the same time one may stop at 0 instead.
        """
        name, lifetime = self._key(key), self._lifetime(ttl)
        if abs(amount) >= LIMIT:
            raise ValueError(f"memcached adds numbers of 64 bits, not {amount}")
        change = _less if amount < 0 else _more
        found = await self._ask(lambda: self._on_client(lambda client: change(client, name, amount, lifetime)))
        if isinstance(found, str):
            raise ValueError(found)
        return found

    async def delete(self, key: str) -> None:
        """Forget."""
        name = self._key(key)
        await self._ask(lambda: self._on_client(lambda client: client.delete(name)))

    # how it is done

    def _key(self, key: str) -> bytes:
        if not PLAIN_KEY.fullmatch(key) or len(self._prefix) + len(key) > LONGEST_KEY:
            key = f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
        return (self._prefix + key).encode()

    def _lifetime(self, ttl: float | None) -> int:
        """As memcached wants it: seconds, or for a long time seconds since 1970; 0 is without an end."""
        seconds = checked_ttl(ttl)
        if seconds is None:
            return 0
        if seconds <= LONGEST_RELATIVE:
            return ceil(seconds)
        end = ceil(self._clock.wall() + seconds)
        return end if end < LATEST else 0

    async def _on_client(self, call: Callable[[_Client], Awaitable[T]]) -> T:
        client = self._idle.pop() if self._idle else _Client(self._host, self._port, pool_size=1)
        try:
            result = await call(client)
        except BaseException:
            # aiomcache would use the connection of a call that was cancelled again, and read that call's answer as
            # the next one's.
            await client.close()
            raise
        self._idle.append(client)
        return result

    async def _connect(self) -> None:
        await self._ping()

    async def _ping(self) -> None:
        await self._on_client(lambda client: client.version())

    async def _disconnect(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    def _is_lost(self, error: Exception) -> bool:
        # Nothing where a line should be: the connection was closed.
        return isinstance(error, OSError | EOFError) or str(error).endswith(": b''")

    def _words(self, error: Exception) -> str:
        # What memcached says may repeat a key.
        if isinstance(error, OSError):
            return str(error)
        return "the connection was closed" if self._is_lost(error) else "it answers with an error"


async def _more(client: _Client, name: bytes, amount: int, lifetime: int) -> int | str:
    """The sum, or why there is none."""
    for _ in range(ROUNDS):
        if await client.add(name, b"%d" % amount, lifetime):
            return amount
        changed = await _changed(client.incr(name, amount))
        if changed is not None:
            return changed
    raise ClientException("the number goes as soon as it is stored")


async def _less(client: _Client, name: bytes, amount: int, lifetime: int) -> int | str:
    """As `_more`, for an amount below 0. memcached stops at 0, so it is asked first what is there."""
    found = await client.get(name)
    try:
        total = int(found or 0) + amount
    except ValueError:
        return NO_NUMBER
    changed = await _changed(client.decr(name, -amount)) if total >= 0 else None
    return "memcached counts no lower than 0" if changed is None else changed


async def _changed(answer: Awaitable[int | None]) -> int | str | None:
    """What became of a stored number: None where there is none, words where it is something else."""
    try:
        return await answer
    except ClientException as error:
        if "NOT_FOUND" in str(error):
            return None
        if "non-numeric" in str(error):
            return NO_NUMBER
        raise
