"""`gateway run`: the supervisor with its signals, from start to a drained stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from gateway.config.fields import Bind
from gateway.config.specs import ListenerSpec
from gateway.config.state_specs import MemorySpec
from gateway.errors import ConfigError
from gateway.process import systemd
from gateway.process.channel import Refusal
from gateway.process.gateway_memory import GatewayMemory
from gateway.process.listening import served_at
from gateway.process.predecessor import OldWorker, Predecessor, leave
from gateway.process.reexec import reexec
from gateway.process.reloading import Change
from gateway.process.runtime import Runtime, SystemClock
from gateway.process.sockets import remove_socket_file
from gateway.process.supervisor import NotStarted, Supervisor
from gateway.process.versions import START, Version
from gateway.process.worker import Worker
from gateway.state.memory import MemoryShared
from gateway.wire.listener import address_of
from gateway.wire.server_tls import ServerTls

log = logging.getLogger("gateway.process")

EXIT_OK = 0
EXIT_BAD_CONFIG = 2
STOPPING = "stopping: what is under way may finish"
STOPPED = "stopped"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Orders:
    """What the command line says. `binds` and `admin` stand in place of the configuration's; with names in `alone` only
    these frontends are served. `watch` and `reload` look for changes of the configuration, and of plugins' code."""

    config: Path
    binds: Sequence[ListenerSpec] | None = None
    admin: Bind | None = None
    alone: Collection[str] = ()
    workers: int = 1
    watch: bool = False
    reload: bool = False


def run(
    config: Path,
    bind: str | None = None,
    admin: str | None = None,
    alone: Collection[str] = (),
    workers: int = 1,
    *,
    watch: bool = False,
    reload: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT, see `Orders`. The exit code: 0 after a drained stop, 2 for what cannot start."""
    try:
        logging.basicConfig(
            level=os.environ.get("GATEWAY_LOG", "INFO").upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        binds = [ListenerSpec(bind=Bind.parse(bind))] if bind else None
        admin_bind = Bind.parse(admin) if admin else None
        orders = Orders(config, binds, admin_bind, alone, workers, watch, reload)
        # A selector that is only a list: a forked worker shares nothing of it.
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.PollSelector())) as runner:
            environment = runner.run(Gateway(orders).serve())
    except (ConfigError, NotStarted, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_CONFIG
    if environment is not None:
        # What comes before the successor has put its handlers would end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        reexec(environment)
    return EXIT_OK


class Gateway:
    """One gateway, as its supervisor's process has it.

    Mutable state: the worker's runtime that was made to see whether the configuration is right, of which a first worker
    without siblings is a copy; what holds the keys of session tickets, which all workers share; and where it listens.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._prepared: tuple[Runtime, GatewayMemory] | None = None
        self._tls: list[ServerTls | None] = []
        self._supervisor: Supervisor | None = None
        self._binds: list[Bind] = []
        self._listening: list[tuple[str, list[socket.socket]]] = []

    async def serve(self) -> dict[str, str] | None:
        """From start to stop; an environment where it shall begin anew. ConfigError, NotStarted and OSError for what
        cannot start."""
        loop = asyncio.get_running_loop()
        told, hung_up = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        predecessor = Predecessor.found()
        memory = MemoryShared(SystemClock())
        memory.restore(predecessor.entries)
        for worker in predecessor.workers:
            await worker.attach(memory)
        supervisor: Supervisor | None = None
        while supervisor is None:
            try:
                supervisor = await self._started(predecessor, memory)
            except (ConfigError, NotStarted, OSError) as error:
                if not predecessor.workers:
                    raise
                log.error("the restart failed, the workers of before go on until SIGHUP tries again:\n%s", error)
                await _either(told, hung_up)
                if told.is_set():
                    predecessor.close()
                    await _retired(predecessor.workers)
                    log.info(STOPPED)
                    return None
                hung_up.clear()
        systemd.notify(systemd.READY)
        tasks = [loop.create_task(_follow(hung_up, supervisor)), loop.create_task(_keep_alive())]
        try:
            await _either(told, supervisor.restarting)
            for task in tasks:
                task.cancel()
            if not told.is_set():
                return await self._left(supervisor)
            log.info(STOPPING)
            systemd.notify(systemd.STOPPING)
            # The second signal ends it at once.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, _give_up, supervisor, number)
            await supervisor.stop()
        except BaseException:
            supervisor.kill()
            raise
        for bind in self._binds:
            remove_socket_file(bind)
        log.info(STOPPED)
        return None

    async def _started(self, predecessor: Predecessor, memory: MemoryShared) -> Supervisor:
        predecessor.begin()
        self._prepared = self._runtime(0)
        runtime = self._prepared[0]
        runtime.prepare()
        loaded, workers = runtime.current_loaded, self._orders.workers
        places = runtime.places
        self._binds = [*(place.bind for place in places), runtime.admin_bind]
        for name in predecessor.adopt_activated(
            [*(("", place.bind) for place in places), ("admin", runtime.admin_bind)]
        ):
            log.warning("nobody listens on the activated socket %s", name)
        opened = [predecessor.take(place.bind, workers) for place in places]
        try:
            (admin,) = predecessor.take(runtime.admin_bind, 1, "admin")
        except OSError as error:
            raise OSError(f"the admin listener {error}") from None
        runtime.warn()
        self._tls = [place.make_tls() for place in places]
        memory.limit = (runtime.spec.state.memory or MemorySpec()).entries
        # Pages of memory that nobody writes to stay shared with the workers, which turn the collector on by themselves.
        gc.freeze()
        supervisor = self._supervisor = Supervisor(
            self._serve_worker,
            [[sockets[slot] for sockets in opened] for slot in range(workers)],
            admin,
            runtime.spec.timeouts.drain,
            Version(1, loaded.digest, runtime.last.at, START, loaded.kept),
            memory,
            predecessor.workers,
        )
        self._listening = [(str(place.bind), sockets) for place, sockets in zip(places, opened, strict=True)]
        self._listening.append(("admin", [admin]))
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, supervisor.reap)
        supervisor.reap()
        await supervisor.start()
        predecessor.workers.clear()
        predecessor.close()
        gc.enable()
        for place, sockets in zip(places, opened, strict=True):
            log.info("listening on %s%s", address_of(sockets[0]), served_at(runtime.current, place.settings))
        log.info("admin on %s", address_of(admin))
        self._prepared = None
        return supervisor

    async def _left(self, supervisor: Supervisor) -> dict[str, str]:
        """What the supervisor that this one becomes finds of it."""
        log.info("restarting: new workers take over one after the other")
        return leave(self._listening, await supervisor.detach(), supervisor.memory.entries())

    def _runtime(self, slot: int) -> tuple[Runtime, GatewayMemory]:
        orders, memory = self._orders, GatewayMemory()
        board = self._supervisor.board if self._supervisor is not None else None
        seat = board.take_seat(slot) if board is not None else None
        runtime = Runtime(orders.config, dict(os.environ), orders.binds, orders.admin, orders.alone, seat, memory)
        runtime.slot, runtime.reloading.reads_code = slot, orders.reload
        return runtime, memory

    def _serve_worker(
        self, slot: int, control: socket.socket, sockets: Sequence[socket.socket], admin: socket.socket
    ) -> int:
        """A worker's life, in its own process. With siblings it compiles anew, since circuits take their seats then."""
        supervisor = self._supervisor
        assert supervisor is not None
        if self._prepared is not None and supervisor.board is None:
            runtime, memory = self._prepared
        else:
            runtime, memory = self._runtime(slot)
            newest = supervisor.versions.newest
            assert newest is not None
            runtime.versions = supervisor.versions
            try:
                runtime.prepare(Change(newest.why, newest.kept))
            except ConfigError as error:
                log.error("%s", error)
                return EXIT_BAD_CONFIG
            runtime.reloading.on_disk = supervisor.on_disk, runtime.reloading.on_disk[1]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            doors = list(zip(sockets, self._tls, strict=True))
            watches = self._orders.watch or self._orders.reload
            return runner.run(Worker(runtime, memory, control, watches).serve(doors, admin))


async def _either(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _retired(workers: Sequence[OldWorker]) -> None:
    """Nothing takes over from them: they end after what is under way. A second signal does not wait for that."""
    log.info(STOPPING)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)
    for worker in workers:
        worker.channel.tell("leave")
    for worker in workers:
        with contextlib.suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, worker.pid, 0)


async def _follow(hung_up: asyncio.Event, supervisor: Supervisor) -> None:
    while True:
        await hung_up.wait()
        hung_up.clear()
        try:
            await supervisor.hang_up()
        except Refusal as refusal:
            log.error("the reload failed, the configuration in service stays: %s", refusal)
        except Exception:
            log.exception("the reload failed; the configuration in service stays")


async def _keep_alive() -> None:
    """Tell the service manager that this process lives, as often as it wants to hear it."""
    interval = systemd.watchdog_interval()
    while interval is not None:
        systemd.notify(systemd.ALIVE)
        await asyncio.sleep(interval)


def _give_up(supervisor: Supervisor, number: int) -> None:
    supervisor.kill()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
