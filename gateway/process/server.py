"""`gateway run`: the supervisor with its signals, from start to a drained stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import uvloop

from gateway.config.fields import Bind
from gateway.config.specs import ListenerSpec
from gateway.errors import ConfigError
from gateway.process.listening import served_at
from gateway.process.runtime import Runtime
from gateway.process.sockets import open_sockets
from gateway.process.supervisor import NotStarted, Supervisor
from gateway.process.worker import Worker
from gateway.wire.listener import address_of
from gateway.wire.server_tls import ServerTls

log = logging.getLogger("gateway.process")

EXIT_OK = 0
EXIT_BAD_CONFIG = 2


def run(
    config: Path, bind: str | None = None, admin: str | None = None, alone: Collection[str] = (), workers: int = 1
) -> int:
    """Serve until SIGTERM or SIGINT, with names in `alone` these frontends only. The exit code: 0 after a drained stop,
    2 for what cannot start."""
    try:
        logging.basicConfig(
            level=os.environ.get("GATEWAY_LOG", "INFO").upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        binds = [ListenerSpec(bind=Bind.parse(bind))] if bind else None
        admin_bind = Bind.parse(admin) if admin else None
        process = _Gateway(config, binds, admin_bind, alone, workers)
        # A selector that is only a list: a forked worker shares nothing of it.
        loop = asyncio.SelectorEventLoop(selectors.PollSelector())
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(process.serve())
    except (ConfigError, NotStarted, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_CONFIG


class _Gateway:
    """What `gateway run` starts.

    Mutable state: the worker's runtime that was made to see whether the configuration is right; the first workers are
    copies of it; and what holds the keys of session tickets, which all workers share.
    """

    def __init__(
        self,
        config: Path,
        binds: Sequence[ListenerSpec] | None,
        admin: Bind | None,
        alone: Collection[str],
        workers: int,
    ) -> None:
        self._config = config
        self._binds = binds
        self._admin = admin
        self._alone = alone
        self._workers = workers
        self._prepared: Runtime | None = None
        self._tls: list[ServerTls | None] = []

    async def serve(self) -> int:
        """From start to stop. ConfigError, NotStarted and OSError for what cannot start."""
        loop = asyncio.get_running_loop()
        told, hung_up = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        runtime = self._prepared = self._runtime()
        runtime.prepare()
        slots = self._slots(runtime)
        self._tls = [place.make_tls() for place in runtime.places]
        admin = self._admin_socket(runtime)
        runtime.warn()
        # Pages of memory that nobody writes to stay shared with the workers.
        gc.freeze()
        supervisor = Supervisor(self._serve_worker, slots, admin, runtime.spec.timeouts.drain)
        loop.add_signal_handler(signal.SIGCHLD, supervisor.reap)
        try:
            await supervisor.start()
            for place, sock in zip(runtime.places, slots[0], strict=True):
                log.info("listening on %s%s", address_of(sock), served_at(runtime.current, place.settings))
            log.info("admin on %s", address_of(admin))
            self._prepared = None
            hanging_up = loop.create_task(_follow(hung_up, supervisor))
            await told.wait()
            log.info("stopping: what is under way may finish")
            # The second signal ends it at once.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, _give_up, supervisor, number)
            hanging_up.cancel()
            await supervisor.stop()
        except BaseException:
            supervisor.kill()
            raise
        log.info("stopped")
        return EXIT_OK

    def _slots(self, runtime: Runtime) -> list[list[socket.socket]]:
        """The listening sockets of each worker."""
        opened = [open_sockets(place.bind, self._workers) for place in runtime.places]
        return [[sockets[slot] for sockets in opened] for slot in range(self._workers)]

    def _admin_socket(self, runtime: Runtime) -> socket.socket:
        try:
            return open_sockets(runtime.admin_bind)[0]
        except OSError as error:
            raise OSError(f"the admin listener {error}") from None

    def _runtime(self) -> Runtime:
        return Runtime(self._config, dict(os.environ), self._binds, self._admin, self._alone)

    def _serve_worker(
        self, control: socket.socket, sockets: Sequence[socket.socket], admin: socket.socket, version: int
    ) -> int:
        """A worker's life, in its own process."""
        runtime = self._prepared or self._runtime()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(
                Worker(runtime, control).serve(list(zip(sockets, self._tls, strict=True)), admin, version)
            )


async def _follow(hung_up: asyncio.Event, supervisor: Supervisor) -> None:
    while True:
        await hung_up.wait()
        hung_up.clear()
        await supervisor.hang_up()


def _give_up(supervisor: Supervisor, number: int) -> None:
    supervisor.kill()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
