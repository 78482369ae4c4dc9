"""Connections to one endpoint: the last one used is the first one taken, so that the others may age away."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from dataclasses import dataclass

from gateway.errors import GatewayError, Kind
from gateway.wire.upstream_connection import Receiver, UpstreamConnection

log = logging.getLogger("gateway.wire")


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Numbers of a pool; times in seconds, `head_limit` in bytes."""

    max_connections: int = 256
    max_queue: int = 1024
    queue_timeout: float = 0.5
    idle: float = 60.0
    max_age: float = 600.0
    connect: float = 1.0
    head_limit: int = 32 * 1024


class Pool:
    """The connections to one endpoint.

    The mutable state is the idle stack, the set of all connections, how many are being made, and the queue of
    receivers that wait.
    """

    def __init__(self, host: str, port: int, limits: PoolLimits) -> None:
        self.host = host
        self.port = port
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.origin = f"http://{self.address}"
        self.limits = limits
        self.idle: list[UpstreamConnection] = []
        self.connections: set[UpstreamConnection] = set()
        self.connecting: dict[asyncio.Task[None], Receiver | None] = {}
        self.queue: dict[Receiver, None] = {}
        self.closed = False

    @property
    def active(self) -> int:
        """Connections that carry a request now."""
        return len(self.connections) - len(self.idle)

    def take(self, receiver: Receiver, now: float, fresh: bool = False) -> UpstreamConnection | None:
        """A connection for `receiver`, at once; or None, and its `connected` or `failed` is called later.

        `fresh` asks for a new connection. GatewayError QUEUE_FULL when too many wait already.
        """
        idle = self.idle
        while idle and not fresh:
            connection = idle.pop()
            if now - connection.idle_since < self.limits.idle and now - connection.born < self.limits.max_age:
                connection.receiver = receiver
                return connection
            connection.close()
        if len(self.connections) + len(self.connecting) >= self.limits.max_connections:
            if len(self.queue) >= self.limits.max_queue:
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
        now = time.monotonic()
        if now - connection.born >= self.limits.max_age:
            connection.close()
        elif self.queue:
            self._hand(connection, self._next())
        elif self.closed:
            connection.close()
        else:
            connection.idle_since = now
            self.idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has closed, or goes on as a tunnel: its place is free."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if self.queue:
            self._connect(self._next())

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
        task = asyncio.get_running_loop().create_task(self._make_connection())
        self.connecting[task] = receiver
        task.add_done_callback(self._connect_done)

    async def _make_connection(self) -> None:
        """Connect, and hand the connection to whoever waited for it, or else to the next."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        error: GatewayError
        try:
            async with asyncio.timeout(self.limits.connect):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self, self.limits.head_limit), self.host, self.port
                )
        except TimeoutError:
            error = GatewayError(Kind.CONNECT_TIMEOUT, cause=f"no connection to {self.address}")
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

    def _connect_done(self, task: asyncio.Task[None]) -> None:
        self.connecting.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("connecting to %s failed", self.address, exc_info=task.exception())

    def __repr__(self) -> str:
        return (
            f"<Pool {self.address} active={self.active} idle={len(self.idle)} "
            f"connecting={len(self.connecting)} queued={len(self.queue)}>"
        )
