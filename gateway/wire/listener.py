"""A listening socket, and the connections that came through it."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING, Any

from gateway.wire.client_connection import ClientConnection
from gateway.wire.client_settings import ClientSettings, Handler
from gateway.wire.connections import Connections
from gateway.wire.deadlines import Deadlines
from gateway.wire.preface import Acceptor, Opening
from gateway.wire.server_tls import Certificates, ServerTls
from gateway.wire.transport import as_protocol

if TYPE_CHECKING:
    from gateway.state.tallies import Tally

BACKLOG = 2048


class Listener:
    """Accepts from one listening socket. Where connections begin with what tells how to serve them, it does so by
    itself, else by a server of the loop.

    Mutable state: the server or the acceptor while it accepts, the set of open connections, and `settings`,
    which a reload replaces.
    """

    def __init__(
        self,
        sock: socket.socket,
        settings: ClientSettings,
        handler: Handler,
        deadlines: Deadlines,
        tls: ServerTls | None = None,
        tally: Tally | None = None,
    ) -> None:
        """`tally` counts the connections of all workers that listen on the address."""
        self.address = address_of(sock)
        self.is_unix = sock.family == socket.AF_UNIX
        self.port: int = 0 if self.is_unix else sock.getsockname()[1]
        self.settings = settings
        self.connections = Connections(tally)
        self.tls = tls
        self.deadlines = deadlines
        self._socket = sock
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._acceptor: Acceptor | None = None

    async def start(self) -> None:
        """Accept."""
        if self.settings.has_preface:
            self._accept_here()
            return
        loop = asyncio.get_running_loop()
        # A server closes its socket, and something else may have to take its place.
        options: dict[str, Any] = {"sock": self._socket.dup(), "backlog": BACKLOG}
        if self.tls is not None:
            options["ssl"] = self.tls.context
            options["ssl_handshake_timeout"] = self.settings.head_timeout
            options["ssl_shutdown_timeout"] = self.settings.idle_timeout
        if not self.is_unix:
            self._server = await loop.create_server(lambda: as_protocol(self.connection()), **options)
            return
        if sys.version_info >= (3, 13):
            # Others may accept from the same socket: its file is for who opened it to remove.
            options["cleanup_socket"] = False
        self._server = await loop.create_unix_server(lambda: as_protocol(self.connection()), **options)

    async def adopt_certificates(self, certificates: Certificates) -> None:
        """Show these to clients to come. Open connections go on as they are."""
        if self.tls is not None and self.tls.adopt(certificates) and self._server is not None:
            # Who connects meanwhile waits in the backlog of the socket.
            self._server.close()
            await self.start()

    def adopt(self, settings: ClientSettings) -> None:
        """A reload: for connections to come, and from their next request on for those that are open."""
        self.settings = settings
        if settings.has_preface and self._server is not None:
            self._server.close()
            self._server = None
            self._accept_here()
        for connection in self.connections:
            connection.adopt(settings)

    def stop_accepting(self) -> None:
        """No new connections; idle ones are closed, the others after their answer."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._acceptor is not None:
            self._acceptor.stop()
            self._acceptor = None
        self._socket.close()
        for connection in list(self.connections):
            connection.close_when_idle()
            if connection.exchange is not None:
                connection.exchange.stopping()

    def abort(self) -> None:
        """Cut what is left."""
        for connection in list(self.connections):
            connection.break_off()

    def connection(self) -> ClientConnection:
        """What speaks HTTP on a new connection."""
        return ClientConnection(self._handler, self.settings, self.deadlines, self.connections)

    def _accept_here(self) -> None:
        self._acceptor = Acceptor(self._socket, self._accepted)
        self._acceptor.start()

    def _accepted(self, sock: socket.socket, address: Any) -> None:
        if self.connections.exceed(self.settings.connections - 1):
            sock.close()
        else:
            Opening(self, sock, address).begin()

    def __repr__(self) -> str:
        return f"<Listener {self.address} {len(self.connections)} connections>"


def address_of(sock: socket.socket) -> str:
    """Where it listens, the real port included."""
    if sock.family == socket.AF_UNIX:
        name = sock.getsockname()
        return f"unix:@{name[1:].decode()}" if isinstance(name, bytes) else f"unix:{name}"
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
