"""A listening socket, and the connections that came through it."""

from __future__ import annotations

import asyncio
import socket

from gateway.wire.client_connection import ClientConnection
from gateway.wire.client_settings import ClientSettings, Handler
from gateway.wire.deadlines import Deadlines

BACKLOG = 2048


class Listener:
    """Accepts on one address.

    Mutable state: the server while it listens, the set of open connections, and `settings`, which a reload replaces.
    """

    def __init__(self, host: str, port: int, settings: ClientSettings, handler: Handler, deadlines: Deadlines) -> None:
        self.host = host
        self.port = port
        self.settings = settings
        self.connections: set[ClientConnection] = set()
        self._handler = handler
        self._deadlines = deadlines
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens, the real port included."""
        host = self.host or "0.0.0.0"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def start(self) -> None:
        """Listen. OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._accepted, self.host or None, self.port, backlog=BACKLOG, family=_family(self.host)
        )
        self.port = self._server.sockets[0].getsockname()[1]

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


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
