"""The admin listener's life: an ordinary aiohttp application on its own socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.admin.app import make_app
from gateway.config.fields import Bind
from gateway.process.sockets import open_sockets, remove_socket_file
from gateway.wire.listener import address_of

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime


class AdminServer:
    """Serves the admin application. Mutable state: the runner while it serves, and where."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._runner: web.AppRunner | None = None
        self._bind: Bind | None = None
        self.address = ""

    async def start(self, bind: Bind) -> None:
        """Listen. OSError when the address cannot be had."""
        try:
            (sock,) = open_sockets(bind)
        except OSError as error:
            raise OSError(f"the admin listener {error}") from None
        self._bind = bind
        runner = self._runner = web.AppRunner(make_app(self._runtime), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        self.address = address_of(sock)

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._bind is not None:
            remove_socket_file(self._bind)
