"""A worker: one process that serves, told by the supervisor when to reload and when to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.admin.answering import answer
from gateway.admin.server import AdminServer
from gateway.errors import ConfigError
from gateway.process.channel import Channel, Gone
from gateway.process.gateway_memory import GatewayMemory
from gateway.process.runtime import Doors, Runtime
from gateway.process.siblings import Siblings
from gateway.process.supervised import Supervised
from gateway.process.versions import WATCH
from gateway.process.watch import Contents, watch

log = logging.getLogger("gateway.process")
EXIT_OK = 0
EXIT_NOT_STARTED = 2
# Who edits code waits for it.
CODE_EVERY = 0.25


class Worker:
    """One worker, in its own process.

    Mutable state: the channel to the supervisor, and how it is to end: `retired` is one whose successor serves
    already, so it no more answers for the gateway.
    """

    def __init__(self, runtime: Runtime, memory: GatewayMemory, control: socket.socket, watches: bool) -> None:
        """`memory` is what the runtime keeps its shared state in. With `watches` it looks whether the configuration
        changes on the disk, whatever that says itself."""
        self._runtime = runtime
        self._memory = memory
        self._control = control
        self._watches = watches
        self._siblings = Supervised(runtime)
        self._admin = AdminServer(runtime, self._siblings)
        self._told = asyncio.Event()
        self._retired = False
        self._channel = Channel(
            {
                "prepare": runtime.reloading.prepare,
                "commit": runtime.reloading.commit,
                "discard": runtime.reloading.discard,
                "report": runtime.reloading.report,
                "reopen_logs": runtime.reopen_logs,
                "answer": lambda what, arguments: answer(runtime, what, *arguments),
                "ping": lambda: None,
                "detach": self._detach,
                "attach": self._attach,
                "retire": self._retire,
                "leave": self._told.set,
            },
            self._orphaned,
        )

    async def serve(self, doors: Doors, admin: socket.socket) -> int:
        """Serve until the supervisor says otherwise, or has gone. The exit code."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._channel, sock=self._control)
        self._siblings.channel = self._memory.channel = self._channel
        runtime = self._runtime
        beside: list[asyncio.Task[None]] = []
        try:
            # From here on it can be asked whether it is ready.
            await self._admin.start(admin)
            try:
                await runtime.start(doors)
            except (ConfigError, OSError) as error:
                await self._say("failed", str(error))
                return EXIT_NOT_STARTED
            await self._say("ready", runtime.version)
            beside.append(loop.create_task(self._siblings.hand_in()))
            if not runtime.slot:
                beside.append(loop.create_task(watch(*watched_by(runtime, self._siblings, self._watches))))
            await self._told.wait()
            if self._retired:
                await self._admin.stop()
            await runtime.drain()
            await self._siblings.hand_in_once()
        finally:
            await _cancelled(beside)
            await self._admin.stop()
            await runtime.stop()
        return EXIT_OK

    async def _say(self, what: str, *arguments: Any) -> None:
        try:
            await self._channel.ask(what, *arguments)
        except Gone:
            self._told.set()

    def _detach(self) -> None:
        """The supervisor begins anew, and will know this worker only until another has taken over. It hears nothing
        after the answer to this, until it is there again."""
        self._siblings.detached = True
        asyncio.get_running_loop().call_soon(self._channel.hold)

    def _attach(self) -> None:
        self._channel.release()

    def _retire(self) -> None:
        self._retired = True
        self._told.set()

    def _orphaned(self) -> None:
        """Without a supervisor nobody would start another one, or tell it to stop."""
        if not self._told.is_set():
            if not self._siblings.detached:
                log.error("the supervisor has gone: stopping")
            self._retire()

    def __repr__(self) -> str:
        return f"<Worker {self._runtime!r}>"


def watched_by(
    runtime: Runtime, siblings: Siblings, always: bool
) -> tuple[Callable[[], float | None], Callable[[], Contents], Callable[[], Awaitable[object]]]:
    """What `watch` asks for, for all workers: of what the configuration in service says, or `always`."""
    reloading = runtime.reloading

    def interval() -> float | None:
        spec = runtime.spec.reload
        if not (always or spec.watch):
            return None
        return min(spec.interval, CODE_EVERY) if reloading.reads_code else spec.interval

    return interval, lambda: reloading.on_disk, lambda: siblings.reload(why=WATCH)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
