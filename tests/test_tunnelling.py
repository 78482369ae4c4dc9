"""From an upstream's 101 on: what is checked, what plugins see, and how a tunnel ends. Over sockets on both sides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.exchange import Exchange, ResponseHead
from gateway.plugin import Plugin
from gateway.routing.actions import Forward, WebSockets
from gateway.telemetry.metrics import Gauge
from gateway.wire.tunnel import GOING_AWAY
from tests.support.gateways import Gateway, gateway, request, timeouts
from tests.support.polling import eventually, soon
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import OK, Peer, Script, upstream
from tests.support.recording import crashing

ASKS = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: a")
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: b\r\n\r\n"
)
ALLOWED = [("/**", Forward((("up", 1),), websockets=WebSockets(Gauge()), total=0.05))]
FORBIDDEN = [("/**", Forward((("up", 1),)))]


async def echoing(peer: Peer) -> None:
    """Switch, and give back what comes."""
    await peer.head()
    peer.send(SWITCH + b"\x81\x02hi")
    while data := await peer.reader.read(65536):
        peer.send(data)


@asynccontextmanager
async def tunnels(script: Script, **options: Any) -> AsyncIterator[tuple[Gateway, RawClient, Any]]:
    """A client with a connection to a gateway in front of `script`."""
    options.setdefault("paths", ALLOWED)
    async with upstream(script) as service, gateway(service.port, **options) as running, running.client() as client:
        yield running, client, service


async def switched(client: RawClient) -> None:
    client.send(request("/x", *ASKS))
    assert (await client.head()).status == 101
    assert await client.read(4) == b"\x81\x02hi"


async def test_both_heads_are_made_anew_and_bytes_pass() -> None:
    class Edits(Plugin):
        def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
            assert (head.status, exchange.status) == (101, 0)
            head.headers.set("X-Answered", "yes")

    edits = Edits(None, None)  # type: ignore[arg-type]
    async with tunnels(echoing, plugins=[edits]) as (running, client, service):
        client.send(request("/x", *ASKS, b"X-A: b"))
        head = await client.head()
        assert head.names == ["Sec-WebSocket-Accept", "X-Answered", "Connection", "Upgrade"]
        assert (head.get("Connection"), head.get("Upgrade")) == ("Upgrade", "websocket")
        (asked,) = service.requests
        assert (asked.all("Connection"), asked.all("Upgrade")) == (["Upgrade"], ["websocket"])
        assert (asked.get("Sec-WebSocket-Key"), asked.get("X-A"), asked.get("Content-Length")) == ("a", "b", None)
        assert await client.read(4) == b"\x81\x02hi"
        data = bytes(range(256)) * 2000
        client.send(data)
        assert await client.read(len(data)) == data
        assert (running.pool.active, running.endpoint.in_flight, running.proxy.active) == (0, 1, 1)
        client.finish()
        await running.idle()
        (exchange,) = running.recorder.exchanges
        assert (exchange.bytes_in, exchange.bytes_out) == (len(data), len(data) + 4)
        assert running.recorder.finished == [(101, "client_gone", "DC")]
        assert running.recorder.phases() == ["on_request", "on_attempt", "on_attempt_end", "on_response", "on_finish"]
        assert running.pool.connections == set()


async def test_the_upstream_ends_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH + b"\x81\x02hi" + b"\x88\x00")

    async with tunnels(script) as (running, client, _):
        await switched(client)
        assert await client.read(2) == b"\x88\x00"
        assert await client.ends() == "closed"
        await running.idle()
        assert running.recorder.finished == [(101, "answered", "-")]
        assert running.counted("gateway_upstream_requests_total", "up", "101") == 1


async def test_what_an_upstream_sent_before_it_was_reset_arrives() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH + b"\x81\x02hi")
        await peer.reader.read(1)
        peer.reset()

    async with tunnels(script) as (running, client, _):
        await switched(client)
        client.send(b"x")
        assert await client.rest() == b"", "without a close frame nobody takes it for whole"
        await running.idle()
        assert running.recorder.finished == [(101, "upstream_incomplete", "UPE")]


async def test_time_limits_end_with_the_handshake() -> None:
    async with tunnels(echoing, timeouts=timeouts(body=0.01, response=0.02)) as (running, client, _):
        await switched(client)
        (connection,) = running.listener.connections
        for later in (0.1, 1000.0, 1e9):
            running.proxy.expired(connection.exchange, connection.exchange.started + later)
            client.send(b"ab")
            assert await client.read(2) == b"ab"
        assert running.recorder.total("on_finish") == 0


async def test_the_handshake_itself_has_its_limits() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with tunnels(script) as (running, client, _):
        client.send(request("/x", *ASKS))
        assert (await client.response()).status == 504
        await running.idle()


async def test_a_client_that_reads_nothing_is_no_client() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH)
        while True:
            peer.send(bytes(65536))
            await peer.writer.drain()

    async with tunnels(script) as (running, client, _):
        client.send(request("/x", *ASKS))
        assert (await client.head()).status == 101
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        (connection,) = running.listener.connections
        await eventually(lambda: connection.congested)
        running.proxy.expired(connection.exchange, connection.exchange.started + 1e9)
        await running.idle()
        assert running.recorder.finished == [(101, "client_gone", "DC")]


@pytest.mark.parametrize(
    ("answer", "paths", "fields"),
    [
        (SWITCH, FORBIDDEN, ASKS),
        (SWITCH, ALLOWED, ()),
        (SWITCH, ALLOWED, (b"Connection: Upgrade", b"Upgrade: h2c")),
        (SWITCH.replace(b"websocket", b"h2c"), ALLOWED, ASKS),
        (SWITCH.replace(b"Connection: upgrade\r\n", b""), ALLOWED, ASKS),
        (SWITCH.replace(b"Sec-", b"Content-Length: 3\r\nSec-"), ALLOWED, ASKS),
    ],
)
async def test_a_101_that_nobody_asked_for_is_refused(answer: bytes, paths: Any, fields: tuple[bytes, ...]) -> None:
    async def script(peer: Peer) -> None:
        head = await peer.head()
        if fields is not ASKS or paths is FORBIDDEN:
            assert (head.get("Upgrade"), head.get("Connection")) == (None, None)
        peer.send(answer)
        await peer.gone()

    async with tunnels(script, paths=paths) as (running, client, _):
        refused = await client.ask(request("/x", *fields))
        assert (refused.status, refused.get("Upgrade")) == (502, None)
        await running.idle()
        assert running.pool.connections == set()


async def test_any_other_answer_is_an_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(OK)
        await peer.head()
        peer.send(SWITCH)
        await peer.gone()

    async with tunnels(script) as (running, client, service):
        assert (await client.ask(request("/x", *ASKS))).body == b"ok"
        assert (await client.ask(request("/x"))).status == 502, "the first request's wish is not the second one's"
        assert service.connections == 1
        await running.idle()


async def test_a_plugin_that_crashes_on_the_head_fails_it() -> None:
    async with tunnels(echoing, plugins=[crashing("on_response")]) as (running, client, _):
        assert (await client.ask(request("/x", *ASKS))).status == 500
        await running.idle()


async def test_a_stop_tells_the_client_and_the_upstream_hears_its_answer() -> None:
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH + b"\x81\x02hi")
        while b"\x88\x80" not in (data := await peer.reader.read(100)):
            peer.send(data)
        heard.set()
        peer.send(b"\x88\x00")

    async with tunnels(script) as (running, client, _):
        await switched(client)
        running.proxy.stopping = True
        running.listener.stop_accepting()
        assert await client.read(4) == GOING_AWAY
        client.send(b"\x88\x80" + bytes(4))
        await soon(heard.wait())
        assert await client.rest() == b"", "after it nothing of the upstream's"
        await running.idle()
        assert running.recorder.finished == [(101, "answered", "-")]
