"""A listening socket, and the connections that came through it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from gateway.wire.client_connection import ClientConnection
from gateway.wire.client_settings import ClientSettings, Handler
from gateway.wire.connections import Connections
from gateway.wire.deadlines import Deadlines
from gateway.wire.server_tls import Certificates, ServerTls

if TYPE_CHECKING:
    from gateway.state.tallies import Tally

BACKLOG = 2048


class Listener:
    """Accepts from one listening socket.

    Mutable state: the server while it accepts, the set of open connections, and `settings`, which a reload replaces.
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
        self.port: int = sock.getsockname()[1]
        self.settings = settings
        self.connections = Connections(tally)
        self.tls = tls
        self._socket = sock
        self._handler = handler
        self._deadlines = deadlines
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Accept."""
        loop = asyncio.get_running_loop()
        # A server closes its socket, and another one may have to take its place.
        sock = self._socket.dup()
        if self.tls is None:
            self._server = await loop.create_server(self._accepted, sock=sock, backlog=BACKLOG)
        else:
            self._server = await loop.create_server(
                self._accepted,
                sock=sock,
                backlog=BACKLOG,
                ssl=self.tls.context,
                ssl_handshake_timeout=self.settings.head_timeout,
                ssl_shutdown_timeout=self.settings.idle_timeout,
            )

    async def adopt_certificates(self, certificates: Certificates) -> None:
        """Show these to clients to come. Open connections go on as they are."""
        if self.tls is not None and self.tls.adopt(certificates) and self._server is not None:
            # Who connects meanwhile waits in the backlog of the socket.
            self._server.close()
            await self.start()

    def adopt(self, settings: ClientSettings) -> None:
        """A reload: for connections to come, and from their next request on for those that are open."""
        self.settings = settings
        for connection in self.connections:
            connection.adopt(settings)

    def stop_accepting(self) -> None:
        """No new connections; idle ones are closed, the others after their answer."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.close()
        for connection in list(self.connections):
            connection.close_when_idle()
            if connection.exchange is not None:
                connection.exchange.stopping()

    def abort(self) -> None:
        """Cut what is left."""
        for connection in list(self.connections):
            connection.break_off()

    def _accepted(self) -> ClientConnection:
        return ClientConnection(self._handler, self.settings, self._deadlines, self.connections)

    def __repr__(self) -> str:
        return f"<Listener {self.address} {len(self.connections)} connections>"


def address_of(sock: socket.socket) -> str:
    """Where it listens, the real port included."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
