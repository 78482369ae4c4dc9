"""The admin listener's life: an ordinary aiohttp application on its own socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.admin.app import make_app
from gateway.process.siblings import Alone, Siblings
from gateway.wire.listener import address_of

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime


class AdminServer:
    """Serves the admin application. Mutable state: the runner while it serves, and its socket."""

    def __init__(self, runtime: Runtime, siblings: Siblings | None = None) -> None:
        """Without `siblings` the runtime is the only worker."""
        self._runtime = runtime
        self._siblings = siblings or Alone(runtime)
        self._runner: web.AppRunner | None = None
        self._socket: socket.socket | None = None
        self.address = ""

    async def start(self, sock: socket.socket) -> None:
        """Accept from a listening socket."""
        runner = self._runner = web.AppRunner(
            make_app(self._runtime, self._siblings), access_log=None, shutdown_timeout=1.0
        )
        await runner.setup()
        await web.SockSite(runner, sock).start()
        self._socket = sock
        self.address = address_of(sock)

    async def stop(self) -> None:
        """Close."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._socket is not None:
            self._socket.close()
