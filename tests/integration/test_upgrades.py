"""WebSockets of proxied routes, from a configuration, with aiohttp on both sides; and upgrades that do not happen."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from tests.integration.test_websockets import HANDSHAKE, Session
from tests.support.aiohttp_server import listening
from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.ports import free_port
from tests.support.raw_upstream import Peer, upstream
from tests.support.runtimes import HEAD, Running, running
from tests.test_tunnelling import SWITCH

CONFIG = """
plugins: [{{access_log: {{to: "file://{folder}/access.log"}}}}, rate_metrics]
upstreams:
  up: {{endpoints: [{endpoints}], retries: {{attempts: 2, on: [connect, reset, 503]}}, timeouts: {{response: 1s}}}}
routes:
  - {{name: plain, match: {{path: /plain}}, to: up}}
  - {{name: socket, to: up, upgrade: [websocket], websocket: {{connections: {limit}}}, plugins: [{plugins}]}}
"""


@asynccontextmanager
async def serving(folder: Path, *ports: int, limit: int = 9, plugins: str = "") -> AsyncIterator[Running]:
    """A gateway in front of the services at `ports`."""
    endpoints = ", ".join(f"'http://127.0.0.1:{port}'" for port in ports)
    text = HEAD + CONFIG.format(folder=folder, endpoints=endpoints, limit=limit, plugins=plugins)
    async with running(folder, text) as worker:
        yield worker


async def idle(worker: Running) -> None:
    await eventually(lambda: worker.runtime.proxy.active == 0)


class Service:
    """A WebSocket server of aiohttp. `heard` holds what came."""

    def __init__(self, **options: Any) -> None:
        self.heard: list[tuple[WSMsgType, Any]] = []
        self.closed: list[int | None] = []
        self._options = options

    async def socket(self, asked: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=False, **self._options)
        await ws.prepare(asked)
        async for message in ws:
            self.heard.append((message.type, message.data))
            if message.type is WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                await ws.send_bytes(message.data)
            elif message.data == "bye":
                await ws.close(code=4001, message=b"as you wish")
            else:
                await ws.send_str(message.data + "!")
        self.closed.append(ws.close_code)
        return ws

    def run(self) -> AbstractAsyncContextManager[int]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.socket)
        return listening(app)


@pytest.mark.parametrize("compress", [0, 15])
async def test_what_the_two_agree_on_is_theirs(tmp_path: Path, compress: int) -> None:
    service = Service(protocols=["chat", "other"], compress=bool(compress))
    async with service.run() as port, serving(tmp_path, port) as worker, Session(worker) as session:
        ws = await session.connect(protocols=["other"], compress=compress, autoping=False)
        assert (ws.protocol, bool(ws.compress)) == ("other", bool(compress))
        await ws.ping(b"there?")
        assert (await soon(ws.receive()))[:2] == (WSMsgType.PONG, b"there?")
        await ws.send_str("hällo " * 1000)
        assert await soon(ws.receive_str()) == "hällo " * 1000 + "!"
        await ws.send_bytes(bytes(range(256)) * 1000)
        assert await soon(ws.receive_bytes()) == bytes(range(256)) * 1000
        await ws.send_str("bye")
        message = await soon(ws.receive())
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "as you wish")
        await ws.close()
        await idle(worker)
        assert service.heard[0] == (WSMsgType.PING, b"there?")


async def test_the_clients_close_code_arrives(tmp_path: Path) -> None:
    service = Service()
    async with service.run() as port, serving(tmp_path, port) as worker, Session(worker) as session:
        ws = await session.connect()
        await ws.close(code=4005)
        await eventually(lambda: service.closed == [4005])
        await idle(worker)


async def test_one_record_at_its_end_and_figures_meanwhile(tmp_path: Path) -> None:
    service = Service()
    async with service.run() as port, serving(tmp_path, port) as worker:
        async with Session(worker) as session:
            ws = await session.connect()
            await ws.send_str("hello")
            assert await soon(ws.receive_str()) == "hello!"
            metrics = (await worker.get("/metrics")).body.decode()
            assert 'gateway_websockets{route="socket"} 1' in metrics
            assert "gateway_active_requests 1" in metrics
            assert 'gateway_upstream_requests_total{code="101",upstream="up"} 1' in metrics, "the upstream did its part"
            row = (await worker.get("/api/routes")).data["routes"][1]
            assert row["action"] == "to up, upgrade to websocket (at most 9)"
            await ws.close()
            await idle(worker)
        assert 'gateway_websockets{route="socket"} 0' in (await worker.get("/metrics")).body.decode()
        log = tmp_path / "access.log"
        await eventually(lambda: log.exists() and log.read_text())
        (record,) = [json.loads(line) for line in log.read_text().splitlines()]
        # Masked, the message takes 11 bytes and the close frame 8; the echo takes 8, and the answer to the close 4.
        flat = json.dumps(record)
        assert record["http"]["response"]["status_code"] == 101, flat
        assert record["http"]["request"]["body"]["bytes"] == 19, flat
        assert record["http"]["response"]["body"]["bytes"] == 12, flat


async def test_a_reload_keeps_it_and_counts_it(tmp_path: Path) -> None:
    service = Service()
    async with (
        service.run() as port,
        serving(tmp_path, port) as worker,
        Session(worker) as session,
        worker.client() as client,
    ):
        ws = await session.connect()
        text = worker.runtime.path.read_text()
        worker.write(text.replace("connections: 9", "connections: 1, idle: 5m"))
        assert await worker.runtime.reload()
        await ws.send_str("still")
        assert await soon(ws.receive_str()) == "still!"
        assert (await client.ask(request("/ws", *HANDSHAKE))).status == 503
        worker.write(text.replace(str(port), str(free_port())))
        assert await worker.runtime.reload()
        await ws.send_str("and still")
        assert await soon(ws.receive_str()) == "and still!", "its endpoint is configured no more"
        await ws.close()
        await idle(worker)


async def declining(peer: Peer) -> None:
    """Say what the request looks like, as a service without WebSockets."""
    while True:
        head = await peer.request()
        seen = b"%b %b" % (head.first.split(b" ")[0], b",".join(name.lower().encode() for name in head.names))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen), seen))


H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")


@pytest.mark.parametrize(
    ("path", "fields", "options"),
    [
        ("/plain", HANDSHAKE, {}),
        ("/plain", H2C, {}),
        ("/ws", H2C, {}),
        ("/ws", HANDSHAKE, {"method": "POST", "body": b"abc"}),
        ("/ws", HANDSHAKE, {"method": "PUT"}),
        ("/ws", HANDSHAKE, {"version": "1.0"}),
        ("/ws", (b"Upgrade: websocket",), {}),
    ],
)
async def test_an_upgrade_that_is_none_goes_on_as_it_is(
    tmp_path: Path, path: str, fields: tuple[bytes, ...], options: dict[str, Any]
) -> None:
    async with upstream(declining) as service, serving(tmp_path, service.port) as worker, worker.client() as client:
        method = options.get("method", "GET")
        answer = await client.ask(request(path, *fields, **options), method)
        assert (answer.status, answer.get("Upgrade")) == (200, None)
        words = answer.body.decode().split(" ")[1].split(",")
        assert not {"upgrade", "http2-settings", "connection"} & set(words)
        assert service.requests[0].body == options.get("body", b"")


async def test_tunnels_of_other_kinds_are_refused(tmp_path: Path) -> None:
    async with upstream(declining) as service, serving(tmp_path, service.port) as worker:
        for text in (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", request("/ws", method="TRACE")):
            async with worker.client() as client:
                answer = await client.ask(text)
                assert answer.status == 405
                assert "GET" in str(answer.get("Allow"))
        async with worker.client() as client:
            client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert (await client.response()).status in (400, 505)
        assert service.requests == []


def answering(*pieces: bytes) -> Any:
    async def script(peer: Peer) -> None:
        while not peer.reader.at_eof():
            await peer.head()
            peer.send(b"".join(pieces))
            if not pieces:
                peer.reset()
                return

    return script


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ((b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",), 404),
        ((b"HTTP/1.1 426 No\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",), 426),
        ((b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",), 503),
        ((b"HTTP/1.1 101 Switching Protocols\r\n\r\n",), 502),
        ((b"HTTP/1.1 1O1 Switching\r\n\r\n",), 502),
        ((b"HTTP/1.1 101 Switching Protocols\r\nConn",), 504),
        ((), 502),
    ],
)
async def test_what_goes_wrong_before_is_a_normal_answer(
    tmp_path: Path, pieces: tuple[bytes, ...], status: int
) -> None:
    async with (
        upstream(answering(*pieces)) as service,
        serving(tmp_path, service.port) as worker,
        worker.client() as client,
    ):
        answer = await client.ask(request("/ws", *HANDSHAKE))
        assert (answer.status, answer.get("Upgrade")) == (status, None)
        assert (await worker.get("/metrics")).body.decode().count('gateway_websockets{route="socket"} 0') == 1


async def test_a_service_that_is_not_there_is_replaced_before_the_101(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH + b"\x81\x02hi")
        await peer.gone()

    async with (
        upstream(answering()) as resets,
        upstream(script) as service,
        serving(tmp_path, free_port(), service.port) as refused,
        serving(tmp_path, resets.port, service.port) as reset,
    ):
        for worker in (refused, reset, refused, reset):
            async with worker.client() as client:
                client.send(request("/ws", *HANDSHAKE))
                assert (await client.head()).status == 101
                assert await client.read(4) == b"\x81\x02hi"
            await idle(worker)
        assert resets.requests


async def test_a_circuit_closes_with_the_101_and_not_with_the_tunnel(tmp_path: Path) -> None:
    failing = True

    async def script(peer: Peer) -> None:
        await peer.head()
        if failing:
            peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        else:
            peer.send(SWITCH)
        await peer.gone()

    breaker = "{breaker: {requests: 1, errors: 1%, sleep: 50ms, window: 10s}}"
    async with upstream(script) as service, serving(tmp_path, service.port, plugins=breaker) as worker:
        async with worker.client() as client:
            assert (await client.ask(request("/ws", *HANDSHAKE))).status == 500
        failing = False

        async def opened() -> bool:
            async with worker.client() as client:
                client.send(request("/ws", *HANDSHAKE))
                return (await client.head()).status == 101

        async with worker.client() as probe:
            async with asyncio.timeout(10):
                while True:
                    probe.send(request("/ws", *HANDSHAKE))
                    answer = await probe.head()
                    if answer.status == 101:
                        break
                    await probe.read(int(answer.get("Content-Length") or 0))
            assert await opened(), "the tunnel that was the probe is still open"
        await idle(worker)
