"""Connections to an application of this process, which look to the pass-through lane like those to any endpoint."""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, cast

from gateway.application.context import GATEWAY
from gateway.application.pipe import PipeEnd, join
from gateway.errors import GatewayError, Kind
from gateway.wire.pool import Pool, PoolLimits
from gateway.wire.transport import as_protocol
from gateway.wire.upstream_connection import Receiver, UpstreamConnection

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.exchange import Exchange

# There are no more requests under way than clients' connections, and those are limited.
LIMITS = PoolLimits(max_connections=65_536, max_age=float("inf"))


class ServerEnd(PipeEnd):
    """The application's end of a pipe.

    Mutable state: the exchange that the pipe carries now; aiohttp's request for it; whether a handler is at work on
    that; and the connection that is free again as soon as that handler is done.
    """

    __slots__ = ("_peername", "busy", "exchange", "free", "request")

    def __init__(self, protocol: web.RequestHandler, context: Context) -> None:
        # aiohttp asks once for the peer's address, and keeps what it is given.
        self._peername: list[Any] = ["", 0]
        super().__init__(protocol, context, prompt=True, info={"peername": self._peername})
        self.exchange: Exchange | None = None
        self.request: web.BaseRequest | None = None
        self.busy = False
        self.free: UpstreamConnection | None = None

    def carry(self, exchange: Exchange | None) -> None:
        """The next request is this exchange's."""
        self.exchange = exchange
        if exchange is not None:
            self._peername[0] = exchange.client_ip

    def _tell_lost(self, error: Exception | None) -> None:
        super()._tell_lost(error)
        self.exchange = self.request = self.free = None

    def let_go(self) -> None:
        """Nothing that outlives an exchange may point at it, and aiohttp keeps the last request of a connection."""
        request, self.request, self.exchange = self.request, None, None
        if request is not None:
            request.pop(GATEWAY, None)


class ApplicationPool(Pool):
    """Pipes to an application. A free one is used again, since aiohttp makes a task for each.

    Mutable state besides that of a Pool: the application's server while it runs.
    """

    def __init__(self, name: str) -> None:
        """`name` stands in logs where other endpoints have their address."""
        super().__init__(name, 0, LIMITS)
        self.address = self.authority = name.lower()
        self._name = name
        self._server: web.Server | None = None
        self._context = Context()

    @property
    def origin(self) -> str:
        return f"app://{self._name}"

    def open(self, server: web.Server) -> None:
        """Requests go to this server from now on, in the context of who calls this."""
        self._server = server
        self._context = copy_context()

    def take(self, receiver: Receiver, now: float, fresh: bool = False) -> UpstreamConnection | None:
        idle = self.idle
        if idle and not fresh:
            connection = idle.pop()
        elif len(self.connections) < self.limits.max_connections:
            connection = self._open()
        else:
            return super().take(receiver, now, fresh)
        connection.receiver = receiver
        _carry(connection, receiver)
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        end = _server_end(connection)
        if end.busy:
            # The answer is complete and its handler goes on, as one may that has written it by itself: the next request
            # would wait for that.
            end.free = connection
        else:
            end.let_go()
            super().release(connection)

    def handled(self, end: ServerEnd) -> None:
        """The handler at work on this end is done."""
        end.busy = False
        connection, end.free = end.free, None
        if connection is not None and connection.transport is not None:
            end.let_go()
            super().release(connection)

    def close(self) -> None:
        super().close()
        self._server = None

    def _open(self) -> UpstreamConnection:
        if self._server is None:
            raise GatewayError(Kind.CONNECT_FAILED, cause=f"the application {self.host} does not run")
        connection = UpstreamConnection(self, self.limits.head_limit)
        context = self._context.copy()
        join(PipeEnd(as_protocol(connection), context), ServerEnd(self._server(), context))
        self.connections.add(connection)
        return connection

    def _connect(self, receiver: Receiver) -> None:
        try:
            connection = self._open()
        except GatewayError as error:
            receiver.failed(error, False)
        else:
            self._hand(connection, receiver)

    def _hand(self, connection: UpstreamConnection, receiver: Receiver) -> None:
        _carry(connection, receiver)
        super()._hand(connection, receiver)


def _server_end(connection: UpstreamConnection) -> ServerEnd:
    return cast(ServerEnd, cast(PipeEnd, connection.transport).peer)


def _carry(connection: UpstreamConnection, receiver: Receiver) -> None:
    # What the gateway asks for on its own account has no exchange.
    _server_end(connection).carry(getattr(receiver, "exchange", None))
