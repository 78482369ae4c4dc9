"""aiohttp applications as files beside a configuration, mounted on a route."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

from gateway.application.mount import Mount
from gateway.process.runtime import Runtime
from tests.support.runtimes import HEAD, Running, running

ROUTE = "routes: [{name: all, app: 'bff.web:app'}]\n"
UPSTREAM = "app:bff.web:app"
# What every application here begins with.
TOP = """
import asyncio
from aiohttp import web, WSMsgType
from gateway.application import GATEWAY
EVENTS = []
routes = web.RouteTableDef()
"""
# And how it ends.
APP = """
def make():
    made = web.Application(client_max_size=1 << 30)
    made.add_routes(routes)
    return made
app = make()
"""


def write_module(folder: Path, name: str, text: str) -> Path:
    """`text` as the file of the dotted name below `folder`."""
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_app(folder: Path, handlers: str, end: str = APP) -> Path:
    """`handlers` as bff/web.py, with what they need around them."""
    return write_module(folder, "bff.web", TOP + handlers + end)


@contextlib.asynccontextmanager
async def serving(
    folder: Path, handlers: str, config: str = ROUTE, end: str = APP, head: str = HEAD
) -> AsyncIterator[Running]:
    """A worker with an application on every path."""
    write_app(folder, handlers, end)
    async with running(folder, head + config) as worker:
        yield worker


def mounts(runtime: Runtime) -> list[Mount]:
    """The applications in service."""
    assert runtime.generation is not None
    return [plugin for plugin in runtime.generation.plugins.values() if isinstance(plugin, Mount)]


def module(mount: Mount) -> ModuleType:
    """The module that a mounted application was imported from."""
    code: Any = mount._code
    return sys.modules[f"{code._local.name}.{mount.options.module}"]


def events(worker: Running) -> list[str]:
    """What the handlers of the one application have noted."""
    (mount,) = mounts(worker.runtime)
    noted: list[str] = module(mount).EVENTS
    return noted
