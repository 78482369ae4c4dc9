"""A worker: one process that serves, told by the supervisor when to reload and when to end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Container
from typing import Any

from gateway.admin.server import AdminServer
from gateway.errors import ConfigError
from gateway.process.channel import Channel, Gone
from gateway.process.reloading import VersionChanged
from gateway.process.runtime import Doors, Runtime

log = logging.getLogger("gateway.process")
EXIT_OK = 0
EXIT_NOT_STARTED = 2


class Worker:
    """One worker, in its own process.

    Mutable state: the channel to the supervisor, and how it is to end: `retired` is one whose successor serves
    already, so it no more answers for the gateway.
    """

    def __init__(self, runtime: Runtime, control: socket.socket) -> None:
        self._runtime = runtime
        self._control = control
        self._admin = AdminServer(runtime)
        self._told = asyncio.Event()
        self._retired = False
        self._channel = Channel(
            {
                "prepare": runtime.reloading.prepare,
                "commit": runtime.reloading.commit,
                "discard": runtime.reloading.discard,
                "report": runtime.reloading.report,
                "reopen_logs": runtime.reopen_logs,
                "ping": lambda: None,
                "retire": self._retire,
                "leave": self._told.set,
            },
            self._orphaned,
        )

    async def serve(self, doors: Doors, admin: socket.socket, version: int) -> int:
        """Serve until the supervisor says otherwise, or has gone. The exit code."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._channel, sock=self._control)
        runtime = self._runtime
        runtime.reload_all = self._reload
        try:
            # From here on it can be asked whether it is ready.
            await self._admin.start(admin)
            try:
                await runtime.start(doors, version)
            except (ConfigError, OSError) as error:
                await self._say("failed", str(error))
                return EXIT_NOT_STARTED
            await self._say("ready", version)
            await self._told.wait()
            if self._retired:
                await self._admin.stop()
            await runtime.drain()
        finally:
            await self._admin.stop()
            await runtime.stop()
        return EXIT_OK

    async def _reload(self, expected: Container[int] | None = None) -> bool:
        """All workers of the gateway reload, or none. VersionChanged as in `Reloading.reload`."""
        version = self._runtime.version
        if expected is not None and version not in expected:
            raise VersionChanged
        accepted: bool | None = await self._channel.ask("reload", version if expected is not None else None)
        if accepted is None:
            raise VersionChanged
        return accepted

    async def _say(self, what: str, *arguments: Any) -> None:
        try:
            await self._channel.ask(what, *arguments)
        except Gone:
            self._told.set()

    def _retire(self) -> None:
        self._retired = True
        self._told.set()

    def _orphaned(self) -> None:
        """Without a supervisor nobody would start another one, or tell it to stop."""
        if not self._told.is_set():
            log.error("the supervisor has gone: stopping")
            self._retire()

    def __repr__(self) -> str:
        return f"<Worker {self._runtime!r}>"
