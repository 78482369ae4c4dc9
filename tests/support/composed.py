"""A worker that composes answers of scripted services, and that is seen to leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.compose.run import Compose
from gateway.upstreams.upstream import Upstream
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.polling import eventually
from tests.support.raw_upstream import Peer, RawUpstream, Script
from tests.support.runtimes import Running, running

# What a service does with a request for one path: these bytes, or what a function sends.
Handler = bytes | Callable[[Peer, Message], Awaitable[None]]
Options = dict[str, Any]


def answer(body: str | bytes, *fields: bytes, code: int = 200, content_type: bytes = b"application/json") -> bytes:
    """A whole answer."""
    raw = body.encode() if isinstance(body, str) else body
    head = [b"HTTP/1.1 %d X" % code, b"Content-Type: " + content_type, b"Content-Length: %d" % len(raw), *fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + raw


MISSING = answer('{"error": "no such path"}', code=404)


def target_of(message: Message) -> str:
    """Path and query that were asked for."""
    return message.first.split(b" ")[1].decode()


def targets(service: RawUpstream) -> list[str]:
    """All that was asked for, in order."""
    return [target_of(message) for message in service.requests]


def serving(handlers: Mapping[str, Handler], rest: Handler = MISSING) -> Script:
    """By the path without its query; `rest` is for all others."""

    async def script(peer: Peer) -> None:
        while True:
            message = await peer.request()
            handler = handlers.get(target_of(message).partition("?")[0], rest)
            if isinstance(handler, bytes):
                peer.send(handler)
            else:
                await handler(peer, message)

    return script


class Held:
    """A handler that keeps requests until `release`. `most` were there at a time, `waiting` are there now."""

    def __init__(self, body: bytes = b'"held"') -> None:
        self._body = body
        self._gates: list[asyncio.Event] = []
        self.most = 0
        self.waiting = 0

    async def __call__(self, peer: Peer, message: Message) -> None:
        gate = asyncio.Event()
        self._gates.append(gate)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await gate.wait()
        finally:
            self.waiting -= 1
        peer.send(answer(self._body))

    def release(self, count: int = 1 << 30) -> None:
        """The next ones, or all that are there, are answered."""
        for gate in self._gates[:count]:
            gate.set()
        del self._gates[:count]


async def echo(peer: Peer, message: Message) -> None:
    """The target is the answer."""
    peer.send(answer(json.dumps(target_of(message))))


async def silent(peer: Peer, message: Message) -> None:
    """Say nothing, and wait to be left."""
    await peer.gone()


def part(upstream: str, path: str, **options: Any) -> Options:
    """A part; `as_` stands for `as`, a word of Python."""
    return {"from": upstream, "path": path, **{name.rstrip("_"): value for name, value in options.items()}}


def route(parts: Options, path: str = "/page", name: str = "page", plugins: Iterable[Any] = (), **options: Any) -> Any:
    """A route; `options` are those of `compose`."""
    composed = {"parts": parts, **options}
    return {"name": name, "match": {"path": path}, "compose": composed, "plugins": list(plugins)}


def config(upstreams: Mapping[str, Any], *routes: Any, **top: Any) -> str:
    """A configuration as JSON, which is YAML. An upstream is a port, several, or its options with `ports`."""
    made = {}
    for name, given in upstreams.items():
        options = dict(given) if isinstance(given, Mapping) else {"ports": given}
        ports = options.pop("ports")
        options["endpoints"] = [f"http://127.0.0.1:{port}" for port in ([ports] if isinstance(ports, int) else ports)]
        made[name] = options
    listeners = {"listeners": [{"bind": "127.0.0.1:0"}], "admin": {"bind": "127.0.0.1:0"}}
    return json.dumps({"version": 1, **listeners, "upstreams": made, "routes": routes, **top})


class Composing:
    """A worker that serves, and how it is asked."""

    def __init__(self, worker: Running) -> None:
        self.worker = worker

    def client(self) -> Any:
        """A new connection."""
        return self.worker.client()

    async def ask(self, target: str = "/page", *fields: bytes, method: str = "GET", body: bytes = b"") -> Message:
        """One request on a connection of its own."""
        async with self.client() as client:
            message: Message = await client.ask(request(target, *fields, method=method, body=body), method)
            return message

    async def page(self, target: str = "/page", *fields: bytes) -> Any:
        """What a good answer says."""
        message = await self.ask(target, *fields)
        assert message.status == 200, (message.head, message.body)
        assert message.get("content-type") == "application/json"
        return json.loads(message.body)

    @property
    def compositions(self) -> list[Compose]:
        routes = self.worker.runtime.proxy.table.router.routes
        return [found.action for found in routes if isinstance(found.action, Compose)]

    @property
    def upstreams(self) -> list[Upstream]:
        table = self.worker.runtime.proxy.table
        return [*table.upstreams.values(), *table.derived]

    def upstream(self, name: str) -> Upstream:
        return self.worker.runtime.proxy.table.upstreams[name]

    async def at_rest(self) -> None:
        """Nothing is left of any request: no exchange, no place, no permit, no connection that carries one."""
        await eventually(lambda: not self.worker.runtime.proxy.active, "an exchange is still active")
        for composition in self.compositions:
            assert composition._subrequests.active == 0
            assert not composition._subrequests.keeper.owners
        for upstream in self.upstreams:
            assert [endpoint.in_flight for endpoint in upstream.endpoints] == [0] * len(upstream.endpoints), upstream
            assert (upstream.budget.taken, upstream.hedges.taken) == (0, 0), upstream
            assert upstream.limiter is None or upstream.limiter.in_flight == 0, upstream
            for endpoint in upstream.endpoints:
                pool = endpoint.pool
                await eventually(lambda pool=pool: not pool.connecting, repr(pool))
                assert (pool.active, len(pool.queue)) == (0, 0), pool
                assert all(connection.receiver is None for connection in pool.connections), pool


@contextlib.asynccontextmanager
async def composing(folder: Path, text: str) -> AsyncIterator[Composing]:
    """A worker for a while, which must have given everything back at the end."""
    async with running(folder, text) as worker:
        served = Composing(worker)
        yield served
        await served.at_rest()
