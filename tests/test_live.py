"""An exchange while it runs: its limits of time, and what plugins see of it."""

from __future__ import annotations

from typing import Any

from gateway.exchange import Exchange
from gateway.live import LiveExchange
from gateway.wire.deadlines import NEVER
from tests.support.gateways import PING, gateway, make_settings, request, timeouts
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, answering, silent, upstream
from tests.support.recording import Requester


async def test_what_a_plugin_sees() -> None:
    seen: dict[str, Any] = {}

    def look(exchange: Exchange) -> None:
        names = ("method", "raw_path", "path", "query", "client_ip", "route", "upstream", "host", "version", "scheme")
        seen.update({name: getattr(exchange, name) for name in names})
        seen["captures"] = dict(exchange.captures)
        seen["names"] = "up" in exchange.upstream_names and "none" not in exchange.upstream_names
        exchange.state["x"] = 1

    async with upstream(answering) as service, gateway(service.port, plugins=[Requester(look)]) as running:
        async with running.client() as client:
            await client.ask(request("/a%20b?q=1", host=b"A.example:1"))
        (exchange,) = running.recorder.exchanges
    assert seen == {
        "method": "GET",
        "raw_path": "/a%20b",
        "path": "/a b",
        "query": "q=1",
        "client_ip": "127.0.0.1",
        "route": "r1",
        "upstream": "up",
        "host": "A.example:1",
        "version": "1.1",
        "scheme": "http",
        "captures": {"**": "a%20b"},
        "names": True,
    }
    assert (exchange.status, exchange.outcome, exchange.attempts, exchange.bytes_out) == (200, "answered", 1, 2)
    assert exchange.state == {"x": 1}
    assert exchange.started <= exchange.ended
    assert exchange.upstream_seconds >= 0


async def test_total_is_an_end_to_every_wait() -> None:
    async with (
        upstream(silent) as service,
        gateway(service.port, timeouts=timeouts(total=50.0)) as running,
        running.client() as client,
    ):
        client.send(request())
        await eventually(lambda: service.requests)
        (exchange,) = running.recorder.exchanges
        assert isinstance(exchange, LiveExchange)
        exchange.wait(None, NEVER)
        assert exchange.client.deadline == exchange.total_at == exchange.started + 50.0
        exchange.wait(None, 1.0)
        assert exchange.client.deadline < exchange.total_at


async def test_bytes_are_counted() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        chunks = request("/x", b"Transfer-Encoding: chunked", method="POST") + b"3;e\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        await client.ask(chunks)
        (exchange,) = running.recorder.exchanges
        assert (exchange.bytes_in, exchange.bytes_out) == (5, len(OK.partition(b"\r\n\r\n")[2]))


async def test_plugin_chooses_path_and_upstream() -> None:
    def choose(exchange: Exchange) -> None:
        exchange.set_path("/other")
        exchange.set_upstream("up")

    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[Requester(choose)]) as running,
        running.client() as client,
    ):
        await client.ask(request("/x?q=1"))
    assert service.requests[0].first == b"GET /other?q=1 HTTP/1.1"


async def test_trusted_peer_is_known_as_one() -> None:
    async with gateway(paths=[PING], settings=make_settings(trusted=True)) as running, running.client() as client:
        await client.ask(request("/ping", b"X-Forwarded-For: 9.9.9.9"))
        (exchange,) = running.recorder.exchanges
        assert (exchange.peer_trusted, exchange.client_ip) == (True, "9.9.9.9")
