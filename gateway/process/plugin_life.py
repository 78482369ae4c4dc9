"""Starting and stopping plugin instances: all or none, each in its time, none while a request may still meet it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Iterable

from gateway.compile import Generation
from gateway.config.masking import masked
from gateway.config.problems import Problem
from gateway.plugin import Plugin
from gateway.table import RouteTable

log = logging.getLogger("gateway.process")
# A plugin that has not started by then will not: it would hold up every reload to come.
START_SECONDS = 30.0


class NotStarted(Exception):
    """A plugin's `start` raised, or took too long. `problem` stands where it is named, and shows no secret."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def not_among(plugins: Iterable[Plugin], others: Iterable[Plugin]) -> list[Plugin]:
    """Those that are none of the others."""
    known = set(map(id, others))
    return [plugin for plugin in plugins if id(plugin) not in known]


async def start_plugins(plugins: Iterable[Plugin], generation: Generation) -> None:
    """Start all of them, or none: what had started is stopped again before NotStarted."""
    started: list[Plugin] = []
    try:
        for plugin in plugins:
            # Most have nothing to start, and there may be 10,000.
            if type(plugin).start is not Plugin.start:
                await _start(plugin, generation)
            started.append(plugin)
    except BaseException:
        await stop_plugins(started)
        raise


async def _start(plugin: Plugin, generation: Generation) -> None:
    limit = asyncio.timeout(START_SECONDS)
    try:
        async with limit:
            await plugin.start()
    except Exception as error:
        said = f"it took more than {START_SECONDS:g} s" if limit.expired() else f"{type(error).__name__}: {error}"
        position = generation.use_of(plugin).position
        problem = Problem(position, f"the plugin {plugin.name!r} did not start: {said}")
        raise NotStarted(masked(problem, generation.secrets)) from None


async def stop_plugins(plugins: Iterable[Plugin]) -> None:
    """Stop each; one that raises is logged and the others are stopped all the same."""
    for plugin in plugins:
        try:
            await plugin.stop()
        except Exception:
            log.exception("the plugin %r did not stop cleanly", plugin.name)


async def stop_when_unused(plugins: Iterable[Plugin], unused: asyncio.Event, patience: float) -> None:
    """Requests that began under an old table still meet its plugins: wait for the last of them, `patience` seconds at
    most."""
    try:
        async with asyncio.timeout(patience):
            await unused.wait()
    except TimeoutError:
        log.warning("stopping plugins of an old configuration that requests are still using")
    await stop_plugins(plugins)


def when_gone(table: RouteTable) -> asyncio.Event:
    """Set once nothing refers to `table` any more."""
    gone = asyncio.Event()
    weakref.finalize(table, _set, asyncio.get_running_loop(), gone).atexit = False
    return gone


def _set(loop: asyncio.AbstractEventLoop, gone: asyncio.Event) -> None:
    # A thread that frees a table may outlive the loop: then nobody waits any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(gone.set)
