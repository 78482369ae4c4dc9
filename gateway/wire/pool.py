"""Connections to one endpoint: the last one used is the first one taken, so that the others may age away."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from gateway.errors import GatewayError, Kind
from gateway.wire.dial import client_ends, connect, dial
from gateway.wire.proxy_protocol import write_header
from gateway.wire.transport import as_protocol
from gateway.wire.upstream_connection import Receiver, UpstreamConnection
from gateway.wire.upstream_tls import UpstreamTls, tls_failure

log = logging.getLogger("gateway.wire")


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What the configuration says of a pool; times in seconds, `head_limit` in bytes. `tls` None is plain TCP."""

    max_connections: int = 256
    max_queue: int = 1024
    queue_timeout: float = 0.5
    idle: float = 60.0
    max_age: float = 600.0
    connect: float = 1.0
    head_limit: int = 32 * 1024
    tls: UpstreamTls | None = None
    proxy_protocol: str = ""


class Held(Protocol):
    """A connection that has a place in a pool."""

    def close(self) -> None:
        """Give it up."""


class Pool:
    """The connections to one endpoint.

    The mutable state is the idle stack, the set of all connections, how many are being made, and the queue of
    receivers that wait. Where connections begin with a PROXY header, each is for the client that its header tells of.
    """

    def __init__(self, host: str, port: int, limits: PoolLimits) -> None:
        """`host` may be `unix:` with a path; then there is no port."""
        self.host = host
        self.port = port
        self.is_unix = host.startswith("unix:")
        self.address = host if self.is_unix else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.authority = "localhost" if self.is_unix else self.address
        self.limits = limits
        self.idle: list[UpstreamConnection] = []
        self.connections: set[Held] = set()
        self.connecting: dict[asyncio.Task[None], Receiver | None] = {}
        self.queue: dict[Receiver, None] = {}
        self.closed = False

    @property
    def origin(self) -> str:
        """The URL that its requests go to, up to their path. A colon ends a socket's path, as nginx writes it."""
        return f"{self.scheme}://{self.address}{':' if self.is_unix else ''}"

    @property
    def scheme(self) -> str:
        """What is spoken there."""
        return "http" if self.limits.tls is None else "https"

    def adopt(self, limits: PoolLimits) -> None:
        """What the configuration says now. Connections that were made by other rules of TLS serve no more requests."""
        if limits.tls is not self.limits.tls:
            for connection in list(self.connections):
                if isinstance(connection, UpstreamConnection):
                    connection.born = float("-inf")
        self.limits = limits

    @property
    def active(self) -> int:
        """Connections that carry a request now."""
        return len(self.connections) - len(self.idle)

    @property
    def full(self) -> bool:
        """Are there as many connections as there may be?"""
        return len(self.connections) + len(self.connecting) >= self.limits.max_connections

    def take(self, receiver: Receiver, now: float, fresh: bool = False) -> UpstreamConnection | None:
        """A connection for `receiver`, at once; or None, and its `connected` or `failed` is called later.

        `fresh` asks for a new connection. GatewayError QUEUE_FULL when too many wait already.
        """
        idle, limits = self.idle, self.limits
        if limits.proxy_protocol and not fresh:
            idle = self._idle_for(self._header(receiver))
        while idle and not fresh:
            connection = idle.pop()
            if now - connection.idle_since < limits.idle and now - connection.born < limits.max_age:
                connection.receiver = receiver
                return connection
            connection.close()
        if self.full and not self._made_room():
            if len(self.queue) >= limits.max_queue:
                raise GatewayError(Kind.QUEUE_FULL, cause=f"{len(self.queue)} requests wait for {self.address}")
            self.queue[receiver] = None
        else:
            self._connect(receiver)
        return None

    def waits(self, receiver: Receiver) -> bool:
        """Is it in the queue (and not yet waiting for a connect)?"""
        return receiver in self.queue

    def cancel(self, receiver: Receiver) -> None:
        """It waits no more; a connection under way is kept for the next."""
        if receiver in self.queue:
            del self.queue[receiver]
            return
        for task, waiting in self.connecting.items():
            if waiting is receiver:
                self.connecting[task] = None

    def release(self, connection: UpstreamConnection) -> None:
        """A connection is free again: to the next in the queue, or to the idle stack."""
        now = monotonic()
        limits = self.limits
        unfit = (connection.header or limits.proxy_protocol) and self._is_unfit(connection)
        if unfit or now - connection.born >= limits.max_age:
            connection.close()
        elif self.queue:
            self._hand(connection, self._next())
        elif self.closed:
            connection.close()
        else:
            connection.idle_since = now
            self.idle.append(connection)

    def forget(self, connection: Held) -> None:
        """A connection has closed, or goes on as a tunnel: its place is free."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if self.queue:
            self._connect(self._next())

    def hold(self, held: Held) -> bool:
        """Give a connection that no requests are sent on a place, until it is forgotten. False where there is none."""
        if self.full and not (self.idle and self._made_room(True)):
            return False
        self.connections.add(held)
        return True

    async def dial(self, header: bytes = b"") -> socket.socket:
        """A connected socket on which `header` has been sent, without a place here. OSError, TimeoutError after the
        time to connect, ValueError for what is no host name."""
        async with asyncio.timeout(self.limits.connect):
            return await dial(self.host, self.port, header)

    def sweep(self, now: float) -> None:
        """Close what has been idle, or alive, for too long."""
        limits = self.limits
        for connection in [
            one for one in self.idle if now - one.idle_since >= limits.idle or now - one.born >= limits.max_age
        ]:
            connection.close()

    def close(self) -> None:
        """Close the idle ones now and the others when they are free. For an endpoint that is configured no more."""
        self.closed = True
        for connection in list(self.idle):
            connection.close()

    def _next(self) -> Receiver:
        """Who has waited longest."""
        receiver = next(iter(self.queue))
        del self.queue[receiver]
        return receiver

    def _hand(self, connection: UpstreamConnection, receiver: Receiver) -> None:
        connection.receiver = receiver
        try:
            receiver.connected(connection)
        except Exception as error:
            log.exception("a connection was not used")
            connection.abort()
            receiver.failed(GatewayError(Kind.INTERNAL, cause=repr(error)), False)

    def _connect(self, receiver: Receiver) -> None:
        task = asyncio.get_running_loop().create_task(self._make_connection(self._header(receiver)))
        self.connecting[task] = receiver
        task.add_done_callback(self._connect_done)

    def _header(self, receiver: Receiver) -> bytes:
        version = self.limits.proxy_protocol
        return write_header(version, client_ends(receiver)) if version else b""

    def _is_unfit(self, connection: UpstreamConnection) -> bool:
        """It is one client's, and others wait for its place; or a reload had it begin in another way."""
        return bool(self.queue) or not (connection.header and self.limits.proxy_protocol)

    def _idle_for(self, header: bytes) -> list[UpstreamConnection]:
        """The idle connection that began with this header, if any, taken out of the stack."""
        for connection in reversed(self.idle):
            if connection.header == header:
                self.idle.remove(connection)
                return [connection]
        return []

    def _made_room(self, always: bool = False) -> bool:
        """Close what has been idle longest: for one client alone it would keep a place from others."""
        if not self.idle or not (always or self.limits.proxy_protocol):
            return False
        self.idle[0].close()
        return True

    async def _opened(self, header: bytes) -> UpstreamConnection:
        connection = UpstreamConnection(self, self.limits.head_limit)
        connection.header = header
        tls = self._tls_options()
        protocol = as_protocol(connection)
        if header or self.is_unix:
            await connect(lambda: protocol, self.host, self.port, header, **tls)
        else:
            await asyncio.get_running_loop().create_connection(lambda: protocol, self.host, self.port, **tls)
        return connection

    async def _make_connection(self, header: bytes) -> None:
        """Connect, and hand the connection to whoever waited for it, or else to the next."""
        task = asyncio.current_task()
        assert task is not None
        error: GatewayError
        try:
            async with asyncio.timeout(self.limits.connect):
                connection = await self._opened(header)
        except TimeoutError:
            error = GatewayError(Kind.CONNECT_TIMEOUT, cause=f"no connection to {self.address}")
        except ssl.SSLError as reason:
            error = tls_failure(self.address, reason)
        except socket.gaierror as reason:
            error = GatewayError(Kind.DNS_ERROR, cause=f"{self.host}: {reason.strerror}")
        except ValueError:
            # A name that IDNA does not allow never reaches the resolver.
            error = GatewayError(Kind.DNS_ERROR, cause=f"{self.host} is not a host name")
        except OSError as reason:
            error = GatewayError(Kind.CONNECT_FAILED, cause=f"{self.address}: {reason.strerror or reason}")
        else:
            if connection.transport is not None:
                receiver = self.connecting.pop(task)
                self.connections.add(connection)
                if receiver is not None:
                    self._hand(connection, receiver)
                else:
                    self.release(connection)
                return
            error = GatewayError(Kind.UPSTREAM_RESET, cause=f"{self.address} hung up at once")
        waiting = self.connecting.pop(task)
        if waiting is not None:
            waiting.failed(error, False)
        if self.queue:
            self._connect(self._next())

    def _tls_options(self) -> dict[str, Any]:
        """What the loop needs to know of TLS. A connection that is there may shorten the handshake of the next."""
        tls = self.limits.tls
        if tls is None:
            return {}
        for known in self.connections:
            if isinstance(known, UpstreamConnection) and known.transport is not None:
                tls.remember(known.transport.get_extra_info("ssl_object"))
                break
        return tls.connecting(self.host)

    def _connect_done(self, task: asyncio.Task[None]) -> None:
        self.connecting.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("connecting to %s failed", self.address, exc_info=task.exception())

    def __repr__(self) -> str:
        return (
            f"<Pool {self.address} active={self.active} idle={len(self.idle)} "
            f"connecting={len(self.connecting)} queued={len(self.queue)}>"
        )
