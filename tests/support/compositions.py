"""A composition's whole way through the proxy, without a socket: clients and services are objects, and a test says when
which service answers what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from gateway.compile import Generation, compile_table
from gateway.compose.run import Compose
from gateway.config.load import load
from gateway.errors import GatewayError, Kind
from gateway.library import Library
from gateway.live import LiveExchange
from gateway.proxy import Proxy
from gateway.table import RouteTable
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env, make_head
from gateway.upstreams.upstream import Upstream
from gateway.wire.client_stream import ClientStream
from gateway.wire.head import RequestBlock, RequestHead, ResponseHead
from gateway.wire.pool import Pool
from tests.support.gateways import make_settings
from tests.support.runtimes import write_config

CONFIG = """version: 1
upstreams:
  catalog: {{endpoints: ['http://127.0.0.1:1']}}
  reviews: {{endpoints: ['http://127.0.0.1:2']}}
  users: {{endpoints: ['http://127.0.0.1:3'], forwarded: rfc7239}}
{top}routes:
  - name: page
    match: {{path: "/p/{{id}}"}}
{route}    compose:
{compose}
"""


def config_of(parts: str, more: str = "", route: str = "", top: str = "") -> str:
    """A configuration whose one route composes `parts`, one a line; `more` are lines of `compose`."""
    lines = [f"      parts:\n{_indented(parts, 8)}", _indented(more, 6)]
    compose = "\n".join(line for line in lines if line)
    return CONFIG.format(top=top, route=_indented(route, 4) + "\n" if route else "", compose=compose)


def _indented(text: str, by: int) -> str:
    return "\n".join(f"{' ' * by}{line.strip()}" for line in text.strip().splitlines())


class Asked:
    """One request that a service got, and the connection that it came by. `left`: the gateway has gone."""

    def __init__(self, receiver: Any, port: int) -> None:
        self.receiver = receiver
        self.port = port
        self.left = False
        self.method = self.target = ""
        self.fields: list[tuple[str, str]] = []
        self.body = b""

    def send(self, text: bytes, ended: bool, chunked: bool, bodyless: bool) -> None:
        head, _, self.body = text.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.fields = [(line.partition(": ")[0].lower(), line.partition(": ")[2]) for line in lines]

    def all(self, name: str) -> list[str]:
        """The values of a field."""
        return [value for found, value in self.fields if found == name]

    def answer(self, data: Any = None, status: int = 200, **fields: str) -> None:
        """Bytes as they are, anything else as JSON."""
        head = make_head(status, {name.replace("_", "-"): value for name, value in fields.items()})
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.receiver.response(head, body, True)

    def fail(self, kind: Kind = Kind.UPSTREAM_RESET) -> None:
        """No answer."""
        self.receiver.failed(GatewayError(kind), False)

    def abort(self) -> None:
        self.left = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.target}>"


class StandIn(Pool):
    """A pool whose connections lead to the test."""

    def __init__(self, pool: Pool, asked: list[Asked]) -> None:
        super().__init__(pool.host, pool.port, pool.limits)
        self._asked = asked

    def take(self, receiver: Any, now: float, fresh: bool = False) -> Any:
        asked = Asked(receiver, self.port)
        self._asked.append(asked)
        return asked


class Client(ClientStream):
    """In place of a client's connection: what it was answered."""

    def __init__(self, trusted: bool = False, identity_headers: tuple[str, ...] = ()) -> None:
        super().__init__(make_settings(trusted, identity_headers))
        self.peer = "192.0.2.1"
        self.trusted = self.unusual = trusted
        self.certificate = None
        self.forwarded = self.settings.forwarded_lines(self.peer)
        self.head: ResponseHead | None = None
        self.body = b""
        self.answers = 0
        self.finishes = 0

    @property
    def status(self) -> int:
        """0 before the answer."""
        return self.head.status if self.head is not None else 0

    @property
    def data(self) -> Any:
        """What the answer says, numbers as they were written."""
        return json.loads(self.body, parse_float=str)

    def get(self, name: str) -> str | None:
        """A field of the answer."""
        assert self.head is not None
        return self.head.get(name)

    def watch(self, deadline: float) -> None:
        self.deadline = deadline

    def respond(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self.head, self.body = head, body
        self.answers += 1

    def finished(self, now: float) -> None:
        self.finishes += 1


class Changing(Proxy):
    """A proxy that calls `change` with an exchange that all plugins have let pass."""

    change: Callable[[LiveExchange], None] | None = None

    def _act(self, exchange: LiveExchange) -> None:
        if self.change is not None:
            self.change(exchange)
        super()._act(exchange)


class Stage:
    """A proxy with its services. `asked` is what they got, in order."""

    def __init__(self, table: RouteTable) -> None:
        self.table = table
        self.proxy = Changing(table)
        self.asked: list[Asked] = []
        for upstream in self.table.upstreams.values():
            for endpoint in upstream.endpoints:
                endpoint.pool = StandIn(endpoint.pool, self.asked)

    @property
    def action(self) -> Compose:
        """What the first route does."""
        action = self.table.router.routes[0].action
        assert isinstance(action, Compose)
        return action

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        return self.table.upstreams

    def ask(
        self,
        target: str = "/p/42",
        method: str = "GET",
        body: bytes = b"",
        trusted: bool = False,
        change: Callable[[LiveExchange], None] | None = None,
        **fields: str,
    ) -> Client:
        """A client's request; it may be answered before this returns. `change` is called with its exchange, as a plugin
        might be."""
        client = Client(trusted, tuple(self.table.identity_headers))
        names = {"host": "a.example", **{name.replace("_", "-"): value for name, value in fields.items()}}
        policy = client.settings.trusted_policy if trusted else client.settings.untrusted_policy
        shape = policy.shape(name.encode() for name in names)
        block = RequestBlock(shape, [value.encode("latin-1") for value in names.values()], "1.1")
        block.host, block.host_field = names["host"], names["host"].encode()
        self.proxy.change = change
        self.proxy.begin(cast(Any, client), RequestHead(block, method, target, "1.1"), body, True)
        return client

    def of(self, target: str) -> Asked:
        """The last request for a target."""
        return next(asked for asked in reversed(self.asked) if asked.target == target)

    @property
    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [asked.target for asked in self.asked]

    def check(self) -> None:
        """Nothing is under way, and all that was taken was given back."""
        subrequests = self.action._subrequests
        assert (self.proxy.active, subrequests.active) == (0, 0)
        assert not subrequests.keeper.owners
        for upstream in (*self.upstreams.values(), *self.table.derived):
            assert [endpoint.in_flight for endpoint in upstream.endpoints] == [0] * len(upstream.endpoints)
            assert upstream.budget.taken == 0


def compiled(folder: Path, text: str) -> tuple[Generation | None, list[str]]:
    """The generation of a configuration, and its problems."""
    loaded = load(write_config(folder, text), {})
    metrics = Metrics()
    names = loaded.spec.upstreams if loaded.spec is not None else ()
    env = make_env(metrics=metrics, upstreams={name: cast(Any, None) for name in names})
    generation, problems = compile_table(loaded, env, metrics, Library(folder))
    return generation, [str(problem).replace(f"{folder}/", "") for problem in problems]


def staged(folder: Path, parts: str, more: str = "", route: str = "", top: str = "") -> Stage:
    """A stage for a composition that is right."""
    generation, problems = compiled(folder, config_of(parts, more, route, top))
    assert generation is not None, problems
    generation.take_over()
    return Stage(generation.table)
