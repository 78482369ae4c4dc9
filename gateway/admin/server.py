"""The admin listener's life: an ordinary aiohttp application on its own socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.admin.app import make_app
from gateway.config.fields import Bind

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime


class AdminServer:
    """Serves the admin application. Mutable state: the runner while it serves."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def start(self, bind: Bind) -> None:
        """Listen. OSError when the address cannot be had."""
        runner = self._runner = web.AppRunner(make_app(self._runtime), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, bind.host or None, bind.port)
        try:
            await site.start()
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise OSError(f"the admin listener cannot have {bind}: {reason}") from None
        host, port = runner.addresses[0][:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()
