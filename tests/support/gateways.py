"""A whole gateway on port 0, put together by hand, which is seen to leave nothing behind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

from gateway.chain import Chain
from gateway.config.fields import Bind
from gateway.exchange import Reply
from gateway.plugin import Plugin
from gateway.process.sockets import open_sockets
from gateway.proxy import Proxy
from gateway.routing.actions import Action, Forward, Respond
from gateway.routing.pattern import parse_pattern
from gateway.routing.route import Route
from gateway.routing.router import Router
from gateway.table import RouteTable
from gateway.telemetry.metrics import Counter, Metrics
from gateway.telemetry.upstream_meters import UpstreamMeters
from gateway.upstreams.endpoint import Changes, Endpoint
from gateway.upstreams.upstream import Upstream, UpstreamTimeouts
from gateway.wire.client_settings import ClientSettings
from gateway.wire.deadlines import Deadlines
from gateway.wire.listener import Listener
from gateway.wire.pool import Pool, PoolLimits
from gateway.wire.server_tls import ServerTls
from gateway.wire.shapes import request_policy
from tests.support.polling import eventually
from tests.support.raw_client import RawClient, connected
from tests.support.recording import Recorder

TRUST_LOOPBACK = (ip_network("127.0.0.0/8"),)
Path = tuple[str, Action]
PING: Path = ("/ping", Respond(Reply.text(200, "pong")))


@dataclass
class Gateway:
    """The parts, for a test to look at. Of the upstreams `up` comes first; `endpoint` and `pool` are its first ones."""

    proxy: Proxy
    listener: Listener
    deadlines: Deadlines
    upstreams: Sequence[Upstream]
    recorder: Recorder
    metrics: Metrics

    @property
    def upstream(self) -> Upstream:
        return self.upstreams[0]

    @property
    def endpoint(self) -> Endpoint:
        return self.upstream.endpoints[0]

    @property
    def pool(self) -> Pool:
        return self.endpoint.pool

    @property
    def pools(self) -> list[Pool]:
        return [endpoint.pool for upstream in self.upstreams for endpoint in upstream.endpoints]

    @property
    def port(self) -> int:
        return self.listener.port

    def counted(self, metric: str, *labels: str) -> float:
        """What a counter has come to, 0 when it has no such child."""
        (family,) = [family for family in self.metrics if family.name == metric]
        child = family.children.get(labels)
        return child.value if isinstance(child, Counter) else 0

    def client(self, receive_buffer: int | None = None) -> contextlib.AbstractAsyncContextManager[RawClient]:
        """A new connection."""
        return connected(self.port, receive_buffer=receive_buffer)

    @property
    def watched(self) -> str:
        return repr(self.deadlines)

    async def idle(self) -> None:
        """No exchange is under way."""
        await eventually(lambda: self.proxy.active == 0, "an exchange is still active")
        self.recorder.check()

    async def settled(self) -> None:
        """All clients are gone: nothing is left of any of them."""
        await eventually(lambda: not self.listener.connections, f"left: {self.listener.connections}")
        await eventually(lambda: self.proxy.active == 0, f"{self.proxy.active} exchanges left")
        await eventually(lambda: not any(pool.connecting or pool.queue for pool in self.pools), repr(self.pools))
        # Copies for a mirror may outlive their exchanges.
        await eventually(lambda: not any(upstream.in_flight for upstream in self.upstreams[1:]), repr(self.upstreams))
        for upstream in self.upstreams:
            assert [endpoint.in_flight for endpoint in upstream.endpoints] == [0] * len(upstream.endpoints), upstream
            assert (upstream.budget.taken, upstream.hedges.taken) == (0, 0), upstream
            assert upstream.limiter is None or upstream.limiter.in_flight == 0, upstream.limiter.in_flight
        assert not any(pool.active for pool in self.pools), repr(self.pools)
        # A tunnel's upstream may still take what its client has left behind.
        await eventually(lambda: self.watched == "<Deadlines 0 watched>", self.watched)
        self.recorder.check()


def routes_of(paths: Sequence[Path], chain: Chain) -> list[Route]:
    """One route for each pattern, named after its place."""
    return [
        Route(f"r{order}", parse_pattern(pattern), action, order=order, chain=chain)
        for order, (pattern, action) in enumerate(paths)
    ]


def make_settings(trusted: bool = False, identity_headers: Iterable[str] = (), **options: Any) -> ClientSettings:
    """Settings with the defaults of the contract."""
    identities = tuple(identity_headers)
    return ClientSettings(
        request_policy(True, identities),
        request_policy(False, identities),
        TRUST_LOOPBACK if trusted else (),
        **options,
    )


def make_upstream(
    name: str,
    *ports: int,
    address: str = "127.0.0.1",
    limits: PoolLimits | None = None,
    timeouts: UpstreamTimeouts | None = None,
    **options: Any,
) -> Upstream:
    """An upstream with an endpoint at each of `ports`; `options` are those of `Upstream`."""
    changes = Changes()
    endpoints = [Endpoint(Pool(address, port, limits or PoolLimits()), changes=changes) for port in ports]
    meters = UpstreamMeters(Metrics(), name)
    return Upstream(name, endpoints, timeouts or UpstreamTimeouts(), meters=meters, **options)


@contextlib.asynccontextmanager
async def gateway(
    *ports: int,
    paths: Sequence[Path] = (PING, ("/**", Forward((("up", 1),)))),
    plugins: Sequence[Plugin] = (),
    settings: ClientSettings | None = None,
    limits: PoolLimits | None = None,
    timeouts: UpstreamTimeouts | None = None,
    upstream_host: str = "127.0.0.1",
    bind: str = "127.0.0.1",
    others: Sequence[Upstream] = (),
    tls: ServerTls | None = None,
    **options: Any,
) -> AsyncIterator[Gateway]:
    """A gateway in front of the services at `ports`, the endpoints of the upstream `up`, whose options are `options`;
    `others` are further upstreams. At the end it must have given everything back."""
    recorder = Recorder()
    chain = Chain((recorder, *plugins))
    up = make_upstream("up", *(ports or (9,)), address=upstream_host, limits=limits, timeouts=timeouts, **options)
    metrics = Metrics()
    for upstream in (up, *others):
        upstream.meters = UpstreamMeters(metrics, upstream.name)
    upstreams = {upstream.name: upstream for upstream in (up, *others)}
    proxy = Proxy(RouteTable(Router(routes_of(paths, chain)), upstreams, Chain((recorder,))))
    deadlines = Deadlines()
    deadlines.start()
    listener = Listener(open_sockets(Bind(bind, 0))[0], settings or make_settings(), proxy, deadlines, tls)
    await listener.start()
    running = Gateway(proxy, listener, deadlines, (up, *others), recorder, metrics)
    try:
        yield running
        await running.settled()
    finally:
        listener.stop_accepting()
        listener.abort()
        for pool in running.pools:
            pool.close()
            for connection in list(pool.connections):
                connection.close()
        await eventually(lambda: not any(pool.connecting for pool in running.pools))
        deadlines.stop()


def limits(**options: Any) -> PoolLimits:
    """Pool limits with some changed."""
    return replace(PoolLimits(), **options)


def timeouts(**options: Any) -> UpstreamTimeouts:
    """Timeouts with some changed."""
    return replace(UpstreamTimeouts(), **options)


def request(
    target: str = "/x",
    *fields: bytes,
    method: str = "GET",
    body: bytes = b"",
    host: bytes | None = b"a",
    version: str = "1.1",
) -> bytes:
    """A request's bytes. Nothing is added but the Host, and a length when there is a body and no framing is named."""
    lines = [f"{method} {target} HTTP/{version}".encode("latin-1")]
    if host is not None:
        lines.append(b"Host: " + host)
    lines.extend(fields)
    framed = any(line.lower().startswith((b"content-length:", b"transfer-encoding:")) for line in fields)
    if body and not framed:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
