"""`gateway run`: one worker with its signals, from start to a drained stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import uvloop

from gateway.admin.server import AdminServer
from gateway.config.fields import Bind
from gateway.config.specs import ListenerSpec
from gateway.errors import ConfigError
from gateway.process.listening import served_at
from gateway.process.runtime import Runtime
from gateway.process.versions import WATCH
from gateway.process.watch import Contents, watch

log = logging.getLogger("gateway.process")

CODE_EVERY = 0.25
EXIT_OK = 0
EXIT_BAD_CONFIG = 2


def run(
    config: Path,
    bind: str | None = None,
    admin: str | None = None,
    alone: Collection[str] = (),
    *,
    watch: bool = False,
    reload: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT, with names in `alone` these frontends only. With `watch` the configuration is
    read again when its files change, with `reload` when the code of local plugins does too. The exit code: 0 after a
    drained stop, 2 for what cannot start."""
    try:
        logging.basicConfig(
            level=os.environ.get("GATEWAY_LOG", "INFO").upper(),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        binds = [ListenerSpec(bind=Bind.parse(bind))] if bind else None
        admin_bind = Bind.parse(admin) if admin else None
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BAD_CONFIG
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runtime = Runtime(config, dict(os.environ), binds, admin_bind, alone)
        runtime.reads_code = reload
        return runner.run(_serve(runtime, watch or reload))


async def _serve(runtime: Runtime, watched: bool) -> int:
    admin = AdminServer(runtime)
    reloads: set[asyncio.Task[None]] = set()

    def hang_up() -> None:
        task = asyncio.get_running_loop().create_task(_hang_up(runtime))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)
    try:
        runtime.prepare()
        # From here on it can be asked whether it is ready.
        await admin.start(runtime.admin_bind)
        await runtime.start()
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        await admin.stop()
        await runtime.stop()
        return EXIT_BAD_CONFIG
    for listener in runtime.listeners:
        assert runtime.generation is not None
        log.info("listening on %s%s", listener.address, served_at(runtime.generation, listener.settings))
    log.info("admin on %s", admin.address)
    watching = asyncio.create_task(watch(*watched_by(runtime, watched)))
    try:
        await _until_told()
        log.info("stopping: what is under way may finish")
        watching.cancel()
        await runtime.drain()
    finally:
        watching.cancel()
        await asyncio.gather(*reloads)
        await asyncio.wait((watching,))
        await admin.stop()
        await runtime.stop()
    log.info("stopped")
    return EXIT_OK


async def _hang_up(runtime: Runtime) -> None:
    """SIGHUP: log files that were moved away are opened anew, and the configuration is read again."""
    runtime.reopen_logs()
    if not runtime.proxy.stopping:
        await runtime.reload()


def watched_by(
    runtime: Runtime, always: bool
) -> tuple[Callable[[], float | None], Callable[[], Contents], Callable[[], Awaitable[object]]]:
    """What `watch` asks for: of what the configuration in service says, or `always`."""

    def interval() -> float | None:
        spec = runtime.spec.reload
        if not (always or spec.watch):
            return None
        # Who edits code waits for it.
        return min(spec.interval, CODE_EVERY) if runtime.reads_code else spec.interval

    return interval, lambda: runtime.on_disk, lambda: runtime.reload(why=WATCH)


async def _until_told() -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
    # The second signal does what signals do.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
