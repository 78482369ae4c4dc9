"""A real worker on port 0, from a configuration as text, with its admin listener."""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import aiohttp

from gateway.admin.server import AdminServer
from gateway.config.fields import Bind
from gateway.config.specs import ListenerSpec
from gateway.process.runtime import Runtime
from gateway.process.siblings import Alone, Siblings
from gateway.process.sockets import open_sockets, remove_socket_file
from gateway.state.board import Seat
from tests.support.polling import soon
from tests.support.raw_client import RawClient, connected

HEAD = "version: 1\nlisteners: [{bind: '127.0.0.1:0'}]\nadmin: {bind: '127.0.0.1:0'}\n"
PING = "routes:\n  - {name: ping, match: {path: /ping}, respond: {text: pong}}\n"


def all_to(port: int) -> str:
    """Every request goes to the service at this port."""
    return f"upstreams: {{up: {{endpoints: ['http://127.0.0.1:{port}']}}}}\nroutes: [{{name: a, to: up}}]\n"


class Answer:
    """What the admin listener said."""

    def __init__(self, status: int, headers: Any, body: bytes, data: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.data = data


class Running:
    """The parts, for a test to look at. `write` changes the configuration's file."""

    def __init__(self, runtime: Runtime, admin: AdminServer, session: aiohttp.ClientSession) -> None:
        self.runtime = runtime
        self.admin = admin
        self._session = session

    @property
    def port(self) -> int:
        return self.runtime.listeners[0].port

    def client(self, frontend: str = "") -> contextlib.AbstractAsyncContextManager[RawClient]:
        """A new connection to the gateway: to its first listener, or to that of a frontend."""
        ports = [one.port for one in self.runtime.listeners if one.settings.frontend == frontend]
        return connected(ports[0] if frontend else self.port)

    def write(self, text: str) -> None:
        self.runtime.path.write_text(text)

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Answer:
        """One request to the admin listener."""

        async def exchange() -> Answer:
            url = f"http://{self.admin.address}{path}"
            async with self._session.request(method, url, headers=headers, **options) as response:
                body = await response.read()
                data = await response.json(content_type=None) if "json" in response.content_type else None
                return Answer(response.status, response.headers, body, data)

        return await soon(exchange())

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers)


def write_config(folder: Path, text: str) -> Path:
    """`text` as folder/routes.yaml."""
    path = folder / "routes.yaml"
    path.write_text(text)
    return path


@contextlib.asynccontextmanager
async def prepared(
    folder: Path,
    text: str = HEAD + PING,
    environ: dict[str, str] | None = None,
    admin_bind: Bind | None = None,
    bind: str | None = None,
    alone: Collection[str] = (),
    siblings: Callable[[Runtime], Siblings] = Alone,
    seat: Seat | None = None,
) -> AsyncIterator[Running]:
    """A worker that is compiled and whose admin listener is up, but that has not started."""
    binds = [ListenerSpec(bind=Bind.parse(bind))] if bind is not None else None
    runtime = Runtime(write_config(folder, text), environ or {}, binds, admin_bind, alone, seat)
    admin = AdminServer(runtime, siblings(runtime))
    thresholds = gc.get_threshold()
    try:
        runtime.prepare()
        await admin.start(open_sockets(runtime.admin_bind)[0])
        async with aiohttp.ClientSession() as session:
            yield Running(runtime, admin, session)
    finally:
        for listener in runtime.listeners:
            listener.stop_accepting()
            listener.abort()
        listening = [Bind.parse(one.address) for one in runtime.listeners]
        listening += [Bind.parse(admin.address)] if admin.address else []
        await admin.stop()
        await runtime.stop()
        for one in listening:
            remove_socket_file(one)
        _thaw()
        gc.set_threshold(*thresholds)


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    text: str = HEAD + PING,
    environ: dict[str, str] | None = None,
    bind: str | None = None,
    alone: Collection[str] = (),
    siblings: Callable[[Runtime], Siblings] = Alone,
    seat: Seat | None = None,
) -> AsyncIterator[Running]:
    """A worker that serves; with names in `alone` these frontends only, with a `seat` one of several."""
    async with prepared(folder, text, environ, None, bind, alone, siblings, seat) as worker:
        await worker.runtime.start()
        yield worker


STARTED = itertools.count(1)
STARTS_FROZEN = 100


def _thaw() -> None:
    """A worker that starts has frozen all there is. To walk all tests after each of them would take longer than most:
    what they leave is collected now and then."""
    if next(STARTED) % STARTS_FROZEN == 0:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


# What a local plugin of a test looks like: it notes its life in a list of its module.
PROBE = '''
from dataclasses import dataclass
from gateway.plugin import Plugin, Secret

EVENTS = []

class Probe(Plugin):
    """A plugin that tells of its life."""

    @dataclass(frozen=True)
    class Options:
        label: str = "a"
        fails: bool = False
        key: Secret = Secret("")

    async def start(self):
        EVENTS.append(f"start {self.options.label}")
        if self.options.fails:
            raise RuntimeError(f"cannot start {self.options.key.reveal()}")

    async def stop(self):
        EVENTS.append(f"stop {self.options.label}")
'''


def write_plugin(folder: Path, name: str, text: str = PROBE) -> Path:
    """`text` as folder/plugins/NAME.py."""
    path = folder / "plugins" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def events(runtime: Runtime, name: str = "probe") -> list[str]:
    """What the instances of a PROBE have noted."""
    import sys

    found = runtime.library.find(name)
    noted: list[str] = sys.modules[found.__module__].EVENTS
    return noted
