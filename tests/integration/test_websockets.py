"""WebSockets of applications: a tunnel through the gateway, from the 101 until either side leaves."""

import asyncio
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.integration.test_applications import idle
from tests.integration.test_backpressure import stands_still
from tests.support.apps import events, mounts, serving, write_app
from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import answering, upstream
from tests.support.runtimes import HEAD, Running

SOCKET = """
@routes.get("/ws")
async def socket(request):
    EVENTS.append(f"{request[GATEWAY].exchange.route} {request.headers.get('X-Given')}")
    ws = web.WebSocketResponse(protocols=["chat"], compress=False)
    await ws.prepare(request)
    try:
        async for message in ws:
            if message.type is WSMsgType.TEXT and message.data == "bye":
                await ws.close(code=4001, message=b"as you wish")
            elif message.type is WSMsgType.TEXT:
                await ws.send_str(f"{message.data}!")
            elif message.type is WSMsgType.BINARY:
                await ws.send_bytes(message.data[::-1])
    finally:
        EVENTS.append(f"closed {ws.close_code}")
    return ws

@routes.get("/push")
async def push(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    for number in range(100):
        await ws.send_str(str(number))
    await ws.send_bytes(bytes(300_000))
    await ws.close()
    return ws

@routes.get("/flood")
async def flood(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    sent = 0
    while True:
        await ws.send_bytes(bytes(65536))
        sent += 1
        EVENTS[:] = [str(sent)]

@routes.get("/deaf")
async def deaf(request):
    ws = web.WebSocketResponse(max_msg_size=0)
    await ws.prepare(request)
    await asyncio.Event().wait()

@routes.get("/plain")
async def plain(request):
    return web.Response(text=str("Upgrade" in request.headers))
"""
HANDSHAKE = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
PLUGINS = """
plugins:
  - headers: {request: {set: {X-Given: "by a plugin"}}, response: {set: {X-Answered: "yes"}}}
  - rate_metrics
routes: [{name: all, app: 'bff.web:app', timeouts: {total: 300ms}}]
"""


class Session:
    """A client with WebSockets to one worker."""

    def __init__(self, worker: Running) -> None:
        self._worker = worker
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def connect(self, path: str = "/ws", **options: Any) -> aiohttp.ClientWebSocketResponse:
        return await soon(self._session.ws_connect(f"http://127.0.0.1:{self._worker.port}{path}", **options))


async def test_text_binary_ping_and_close(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET, PLUGINS) as worker, Session(worker) as session:
        ws = await session.connect(protocols=["chat"])
        assert (ws.protocol, ws._response.headers["X-Answered"]) == ("chat", "yes")
        await ws.send_str("hello")
        assert await soon(ws.receive_str()) == "hello!"
        await ws.send_bytes(bytes(range(256)) * 1000)
        assert await soon(ws.receive_bytes()) == (bytes(range(256)) * 1000)[::-1]
        await ws.ping(b"are you there")
        await ws.send_str("again")
        assert await soon(ws.receive_str()) == "again!"
        await ws.send_str("bye")
        message = await soon(ws.receive())
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "as you wish")
        await ws.close()
        # What the client of aiohttp answers to a close is always a 1000.
        await eventually(lambda: events(worker)[-1] == "closed 1000")
        assert events(worker)[0] == "all by a plugin"
        await idle(worker)
        metrics = (await worker.get("/metrics")).body.decode()
        assert 'gateway_requests_total{code="101",method="GET",route="all"} 1.0' in metrics
        assert not worker.runtime.listeners[0].connections


async def test_a_mirror_is_not_asked_for_a_websocket(tmp_path: Path) -> None:
    async with upstream(answering) as service:
        up = f"upstreams: {{up: {{endpoints: ['http://127.0.0.1:{service.port}']}}}}\n"
        config = up + "routes: [{name: all, app: 'bff.web:app', mirror: {to: up}}]\n"
        async with serving(tmp_path, SOCKET, config) as worker, Session(worker) as session:
            ws = await session.connect()
            await ws.send_str("hello")
            assert await soon(ws.receive_str()) == "hello!"
            await ws.close()
            await eventually(lambda: service.requests)
            assert not {"Connection", "Upgrade"} & set(service.requests[0].names)


async def test_the_clients_own_close_code_arrives(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker, Session(worker) as session:
        ws = await session.connect()
        await ws.close(code=4005)
        await eventually(lambda: events(worker)[-1] == "closed 4005")
        await idle(worker)


async def test_the_server_pushes(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker, Session(worker) as session:
        ws = await session.connect("/push")
        assert [await soon(ws.receive_str()) for _ in range(100)] == [str(number) for number in range(100)]
        assert await soon(ws.receive_bytes()) == bytes(300_000)
        assert (await soon(ws.receive())).type is WSMsgType.CLOSE
        await idle(worker)


async def test_no_time_limit_ends_it(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET, PLUGINS) as worker, Session(worker) as session:
        ws = await session.connect()
        await ws.send_str("a")
        assert await soon(ws.receive_str()) == "a!"
        (client,) = worker.runtime.listeners[0].connections
        for seconds in (1.0, 31.0, 3600.0):
            worker.runtime.proxy.expired(client.exchange, client.exchange.started + seconds)
        await ws.send_str("b")
        assert await soon(ws.receive_str()) == "b!"
        await ws.close()


async def test_a_client_that_vanishes_ends_its_handler(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker:
        async with worker.client() as client:
            client.send(request("/ws", *HANDSHAKE))
            assert (await client.head()).status == 101
            client.reset()
        await eventually(lambda: events(worker)[-1].startswith("closed"))
        await idle(worker)


async def test_a_client_that_reads_slowly_slows_the_handler_down(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker, worker.client() as client:
        client.send(request("/flood", *HANDSHAKE))
        await eventually(lambda: worker.runtime.proxy.active)
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await eventually(lambda: events(worker))
        await stands_still(lambda: events(worker)[0])
        (connection,) = worker.runtime.listeners[0].connections
        assert connection.transport is not None
        assert 0 < connection.transport.get_write_buffer_size() < 512 * 1024
        client.reset()
        await idle(worker)


async def test_a_handler_that_reads_nothing_slows_the_client_down(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker, worker.client() as client:
        client.send(request("/deaf", *HANDSHAKE))
        assert (await client.head()).status == 101
        frame = b"\x82\xff" + (65536).to_bytes(8, "big") + bytes(4) + bytes(65536)
        for _ in range(200):
            client.send(frame)
        (connection,) = worker.runtime.listeners[0].connections
        pipe = connection.exchange.attempt.connection.transport

        def held() -> int:
            return int(pipe.get_write_buffer_size())

        await stands_still(held)
        assert 0 < held() < 1 << 20
        client.reset()


async def test_frames_that_come_with_the_request_are_not_lost(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker, worker.client() as client:
        client.send(request("/ws", *HANDSHAKE) + b"\x81\x85" + bytes(4) + b"early")
        assert (await client.head()).status == 101
        assert await client.read(8) == b"\x81\x06early!"


@pytest.mark.parametrize(
    "fields",
    [
        (b"Connection: Upgrade", b"Upgrade: h2c"),
        (b"Connection: close", b"Upgrade: websocket"),
        (b"Upgrade: websocket",),
    ],
)
async def test_other_upgrades_are_dropped(tmp_path: Path, fields: tuple[bytes, ...]) -> None:
    async with serving(tmp_path, SOCKET) as worker, worker.client() as client:
        assert (await client.ask(request("/plain", *fields))).body == b"False"


async def test_a_handler_may_decline(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker, worker.client() as client:
        for _ in range(2):
            assert (await client.ask(request("/plain", *HANDSHAKE))).body == b"True"
        assert (await client.ask(request("/plain"))).body == b"False"
        bad = tuple(field for field in HANDSHAKE if b"Key" not in field)
        assert (await client.ask(request("/ws", *bad))).status == 400
        assert len(mounts(worker.runtime)[0].endpoint.pool.connections) == 1
        await idle(worker)


async def test_a_stop_tells_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path, SOCKET) as worker, Session(worker) as session:
        ws = await session.connect()
        await ws.send_str("a")
        assert await soon(ws.receive_str()) == "a!"
        stopped = asyncio.create_task(worker.runtime.drain())
        message = await soon(ws.receive())
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        await soon(stopped)
        await eventually(lambda: events(worker)[-1] == "closed 1000")
        await idle(worker)


async def test_a_stop_cuts_a_client_that_does_not_listen(tmp_path: Path) -> None:
    head = HEAD + "timeouts: {drain: 50ms}\n"
    async with serving(tmp_path, SOCKET, head=head) as worker, worker.client() as client:
        client.send(request("/ws", *HANDSHAKE))
        assert (await client.head()).status == 101
        await soon(worker.runtime.drain())
        assert await client.read(4) == b"\x88\x02\x03\xe9"
        assert await client.ends() == "reset"
        await idle(worker)


async def test_a_reload_keeps_it_or_ends_it_with_its_application(tmp_path: Path) -> None:
    closing = """
SOCKETS = set()
@routes.get("/kept")
async def kept(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    SOCKETS.add(ws)
    async for message in ws:
        await ws.send_str(VERSION + message.data)
    return ws
VERSION = "one "
"""
    end = """
async def close_all(app):
    for ws in SOCKETS:
        await ws.close(code=1001, message=b"replaced")
app = web.Application()
app.add_routes(routes)
app.on_shutdown.append(close_all)
"""
    head = HEAD + "timeouts: {drain: 50ms}\n"
    async with serving(tmp_path, closing, end=end, head=head) as worker, Session(worker) as session:
        ws = await session.connect("/kept")
        assert await worker.runtime.reload()
        await ws.send_str("a")
        assert await soon(ws.receive_str()) == "one a"
        write_app(tmp_path, closing.replace("one ", "two "), end)
        assert await worker.runtime.reload()
        other = await session.connect("/kept")
        await other.send_str("b")
        assert await soon(other.receive_str()) == "two b"
        message = await soon(ws.receive())
        assert (message.data, message.extra) == (1001, "replaced")
        await other.close()
