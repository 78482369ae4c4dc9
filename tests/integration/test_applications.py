"""aiohttp applications on routes: handlers run in this process, behind the same plugins as any upstream."""

import asyncio
import gc
import hashlib
import io
from pathlib import Path

import aiohttp
import pytest

from gateway.application.pipe import PipeEnd
from tests.integration.test_backpressure import stands_still
from tests.support.apps import UPSTREAM, events, module, mounts, serving
from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import Peer, upstream
from tests.support.runtimes import Running

PIECE = 64 * 1024


def post(target: str, size: int, *fields: bytes) -> bytes:
    """The head of an upload."""
    lines = [b"POST %b HTTP/1.1" % target.encode(), b"Host: gateway.test", b"Content-Length: %d" % size, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def idle(worker: Running) -> None:
    """No request is under way, and no handler."""
    (mount,) = mounts(worker.runtime)
    await eventually(lambda: worker.runtime.proxy.active == 0, "an exchange is left")
    await eventually(lambda: mount.endpoint.in_flight == 0, repr(mount.endpoint))
    await eventually(lambda: mount.endpoint.pool.active == 0, repr(mount.endpoint.pool))


SHOW = """
@routes.get("/show/{name}")
async def show(request):
    exchange = request[GATEWAY].exchange
    return web.json_response({
        "name": request.match_info["name"], "query": dict(request.query), "headers": dict(request.headers),
        "route": exchange.route, "client": exchange.client_ip, "remote": request.remote, "url": str(request.url),
        "id": exchange.request_id, "captures": dict(exchange.captures), "principal": exchange.principal,
    })
"""


async def test_a_handler_sees_the_request_and_its_exchange(tmp_path: Path) -> None:
    config = """
plugins: [tracing_ids]
routes:
  - name: web
    match: {path: "/web/**"}
    app: "bff.web:app"
    rewrite: {path: "/show/{**}", headers: {set: {X-Set: "1"}}}
"""
    async with serving(tmp_path, SHOW, config) as worker:
        async with aiohttp.ClientSession() as session:
            for turn in range(3):
                url = f"http://127.0.0.1:{worker.port}/web/a%20b?turn={turn}"
                async with session.get(url, headers={"X-Forwarded-For": "6.6.6.6"}) as response:
                    data = await response.json()
                assert (response.status, data["name"], data["query"]) == (200, "a b", {"turn": str(turn)})
                assert (data["route"], data["client"], data["remote"]) == ("web", "127.0.0.1", "127.0.0.1")
                assert data["captures"] == {"**": "a%20b"}
                assert data["id"] == response.headers["X-Request-Id"]
                assert data["headers"]["X-Forwarded-For"] == "127.0.0.1"
                assert (data["headers"]["X-Set"], data["headers"]["Via"]) == ("1", "1.1 gateway")
                assert data["url"] == f"http://127.0.0.1:{worker.port}/show/a%20b?turn={turn}"
        (mount,) = mounts(worker.runtime)
        assert len(mount.endpoint.pool.connections) == 1, "pipes are used again"
        await idle(worker)


async def test_plugins_run_around_it(tmp_path: Path) -> None:
    config = """
plugins:
  - headers: {request: {set: {X-Given: "by a plugin"}}, response: {set: {X-Answered: "yes"}, remove: [Server]}}
  - rate_metrics
routes:
  - name: all
    app: "bff.web:app"
"""
    async with serving(tmp_path, SHOW, config) as worker, worker.client() as client:
        answer = await client.ask(request("/show/x"))
        assert b'"X-Given": "by a plugin"' in answer.body
        assert (answer.get("X-Answered"), answer.get("Server")) == ("yes", None)
        metrics = (await worker.get("/metrics")).body.decode()
        assert 'gateway_requests_total{code="200",method="GET",route="all"} 1.0' in metrics
        assert f'gateway_upstream_requests_total{{code="200",upstream="{UPSTREAM}"}} 1.0' in metrics


MANY = """
@routes.get("/stream")
async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(50):
        await response.write(b"%d\\n" % number)
    return response

@routes.get("/crash")
async def crash(request):
    raise RuntimeError("geheim")

@routes.get("/exit")
async def leave(request):
    raise SystemExit(3)

@routes.get("/crash-late")
async def crash_late(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    raise RuntimeError("late")

@routes.post("/echo")
async def echo(request):
    response = web.StreamResponse()
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    return response

@routes.post("/refuse")
async def refuse(request):
    raise web.HTTPRequestEntityTooLarge(1, 2)

@web.middleware
async def mark(request, handler):
    response = await handler(request)
    response.headers["X-Middleware"] = request[GATEWAY].exchange.route
    return response
"""
WITH_MIDDLEWARE = """
app = web.Application(middlewares=[mark])
app.add_routes(routes)
"""


async def test_middlewares_and_errors_are_aiohttps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, MANY + SHOW, end=WITH_MIDDLEWARE) as worker, worker.client() as client:
        answer = await client.ask(request("/stream"))
        assert answer.body == b"".join(b"%d\n" % number for number in range(50))
        answer = await client.ask(request("/show/x"))
        assert answer.get("X-Middleware") == "all"
        answer = await client.ask(request("/nowhere"))
        assert (answer.status, answer.body) == (404, b"404: Not Found")
        answer = await client.ask(request("/echo"))
        assert (answer.status, answer.get("Allow")) == (405, "POST")
        answer = await client.ask(request("/show/x", method="HEAD"), method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        answer = await client.ask(request("/crash"))
        assert (answer.status, answer.get("Proxy-Status")) == (500, None)
        assert b"geheim" not in answer.body
        assert "geheim" in caplog.text
        assert (await client.ask(request("/exit"))).status == 500
        assert "a handler called sys.exit(3)" in caplog.text
        answer = await client.ask(request("/show/x"))
        assert answer.status == 200, "the client's connection outlives a handler's crash"
        await idle(worker)


async def test_an_answer_that_breaks_off_never_looks_whole(tmp_path: Path) -> None:
    async with serving(tmp_path, MANY) as worker, worker.client() as client:
        client.send(request("/crash-late"))
        assert (await client.head()).status == 200
        assert await client.ends() == "reset"
        await idle(worker)


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
async def test_bodies_stream_both_ways(tmp_path: Path, size: int) -> None:
    body = (hashlib.sha256(b"x").digest() * (size // 32 + 1))[:size]
    async with serving(tmp_path, MANY) as worker, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{worker.port}/echo"

        async def pieces() -> object:
            for start in range(0, len(body), 50_000):
                yield body[start : start + 50_000]

        for data in (io.BytesIO(body), pieces()):
            async with session.post(url, data=data) as response:
                assert await response.read() == body
        await idle(worker)


async def test_a_handler_may_refuse_an_upload_that_still_comes(tmp_path: Path) -> None:
    async with serving(tmp_path, MANY) as worker, worker.client() as client:
        client.send(post("/refuse", 1 << 20) + bytes(PIECE))
        answer = await client.response()
        assert (answer.status, answer.get("Connection")) == (413, "close")
        await idle(worker)


FILE = """
from pathlib import Path
@routes.get("/file")
async def file(request):
    return web.FileResponse(Path(__file__).parent / "large.bin")
"""


async def test_files_and_ranges(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    async with serving(tmp_path, FILE) as worker, aiohttp.ClientSession() as session:
        (tmp_path / "bff" / "large.bin").write_bytes(data)
        url = f"http://127.0.0.1:{worker.port}/file"
        async with session.get(url) as response:
            assert (response.status, await response.read()) == (200, data)
            assert response.content_length == len(data)
        async with session.get(url, headers={"Range": "bytes=100-299999"}) as response:
            assert (response.status, await response.read()) == (206, data[100:300_000])
            assert response.headers["Content-Range"] == f"bytes 100-299999/{len(data)}"
        async with session.get(url, headers={"If-None-Match": response.headers["ETag"]}) as response:
            assert (response.status, await response.read()) == (304, b"")
        await idle(worker)


ENDLESS = """
SENT = [0]
@routes.get("/endless")
async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(bytes(65536))
            SENT[0] += 65536
            EVENTS[:] = [str(SENT[0])]
    except asyncio.CancelledError:
        EVENTS.append("cancelled")
        raise

READ = asyncio.Event()
@routes.post("/later")
async def later(request):
    await READ.wait()
    return web.Response(text=str(len(await request.read())))

@routes.get("/read")
async def read(request):
    READ.set()
    return web.Response()

@routes.get("/waits")
async def waits(request):
    EVENTS.append("waits")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        EVENTS.append("cancelled")
        raise
"""


async def test_a_slow_client_slows_the_handler_down_and_one_that_leaves_ends_it(tmp_path: Path) -> None:
    async with serving(tmp_path, ENDLESS) as worker:
        async with worker.client() as client:
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            client.send(request("/endless"))
            await eventually(lambda: events(worker))
            await stands_still(lambda: events(worker)[0])
            (connection,) = worker.runtime.listeners[0].connections
            assert connection.transport is not None
            assert 0 < connection.transport.get_write_buffer_size() < 512 * 1024
            (pipe,) = mounts(worker.runtime)[0].endpoint.pool.connections
            assert isinstance(pipe.transport, PipeEnd)
            assert pipe.transport.peer.get_write_buffer_size() < 256 * 1024
            client.reset()
        await eventually(lambda: events(worker)[-1] == "cancelled")
        await idle(worker)


async def test_a_handler_that_does_not_read_slows_the_client_down(tmp_path: Path) -> None:
    async with serving(tmp_path, ENDLESS) as worker, worker.client() as client, worker.client() as other:
        pool = mounts(worker.runtime)[0].endpoint.pool
        client.send(post("/later", 144 * PIECE))
        for _ in range(144):
            client.send(bytes(PIECE))
        await eventually(lambda: pool.connections)
        (connection,) = pool.connections

        def held() -> int:
            assert connection.transport is not None
            return connection.transport.get_write_buffer_size()

        await stands_still(held)
        assert 0 < held() < 512 * 1024
        assert (await other.ask(request("/read"))).status == 200
        assert (await client.response()).body == b"%d" % (144 * PIECE)
        await idle(worker)


async def test_a_client_that_leaves_cancels_its_handler(tmp_path: Path) -> None:
    async with serving(tmp_path, ENDLESS) as worker:
        async with worker.client() as client:
            client.send(request("/waits"))
            await eventually(lambda: events(worker) == ["waits"])
        await eventually(lambda: events(worker) == ["waits", "cancelled"])
        await idle(worker)


LATER = """
DONE = asyncio.Event()
@routes.get("/later")
async def later(request):
    response = web.StreamResponse()
    response.content_length = 2
    await response.prepare(request)
    await response.write(b"ok")
    await response.write_eof()
    await DONE.wait()
    EVENTS.append("later")
    return response

@routes.get("/done")
async def done(request):
    DONE.set()
    return web.Response(text="done")
"""


async def test_what_a_handler_does_after_its_answer_holds_up_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, LATER) as worker, worker.client() as client:
        assert (await client.ask(request("/later"))).body == b"ok"
        assert (await client.ask(request("/done"))).body == b"done"
        await eventually(lambda: events(worker) == ["later"])
        (mount,) = mounts(worker.runtime)
        await eventually(lambda: len(mount.endpoint.pool.idle) == 2)


FETCH = """
@routes.get("/page/{id}")
async def page(request):
    reply = await request[GATEWAY].fetch("catalog", f"/items/{request.match_info['id']}", headers={"X-A": "b"})
    posted = await request[GATEWAY].fetch("catalog", "/orders", method="POST", json={"a": None}, timeout=2.0)
    return web.json_response({"item": reply.json(), "status": posted.status, "type": reply.headers["content-type"]})

@routes.get("/unknown")
async def unknown(request):
    try:
        await request[GATEWAY].fetch("nobody", "/")
    except LookupError as error:
        return web.Response(text=str(error))
"""


async def test_handlers_call_upstreams(tmp_path: Path) -> None:
    seen = []

    async def script(peer: Peer) -> None:
        while True:
            message = await peer.request()
            seen.append((message.first, message.body, message.get("Content-Type")))
            peer.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}')

    async with upstream(script) as service:
        config = f"upstreams: {{catalog: {{endpoints: ['http://127.0.0.1:{service.port}']}}}}\n"
        config += "routes: [{name: all, app: 'bff.web:app'}]\n"
        async with serving(tmp_path, FETCH, config) as worker, worker.client() as client:
            answer = await client.ask(request("/page/7"))
            assert answer.body == b'{"item": {"a": 1}, "status": 200, "type": "application/json"}'
            assert (await client.ask(request("/unknown"))).body == b"no upstream 'nobody' in this configuration"
    assert seen == [
        (b"GET /items/7 HTTP/1.1", b"", None),
        (b"POST /orders HTTP/1.1", b'{"a":null}', "application/json"),
    ]


async def test_pipelined_requests_and_many_clients(tmp_path: Path) -> None:
    async with serving(tmp_path, SHOW) as worker:

        async def some(client: RawClient, name: str) -> None:
            client.send(b"".join(request(f"/show/{name}{number}") for number in range(5)))
            for number in range(5):
                assert f'"name": "{name}{number}"'.encode() in (await client.response()).body

        clients = [worker.client() for _ in range(8)]
        opened = [await client.__aenter__() for client in clients]
        await soon(asyncio.gather(*(some(client, chr(97 + place)) for place, client in enumerate(opened))))
        for client in clients:
            await client.__aexit__(None, None, None)
        await idle(worker)
        (mount,) = mounts(worker.runtime)
        assert 1 <= len(mount.endpoint.pool.idle) <= 8


KEPT = """
import weakref
REFS = []

class Token:
    pass

def keep(request):
    token = request[GATEWAY].exchange.state["token"] = Token()
    REFS.append(weakref.ref(token))

@routes.get("/answered")
async def answered(request):
    keep(request)
    return web.Response(text="ok")

@routes.get("/crashed")
async def crashed(request):
    keep(request)
    raise web.HTTPForbidden()

@routes.get("/left")
async def left(request):
    keep(request)
    await asyncio.Event().wait()

@routes.get("/begun")
async def begun(request):
    keep(request)
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    await asyncio.Event().wait()
"""


async def test_nothing_that_outlives_a_request_points_at_it(tmp_path: Path) -> None:
    async with serving(tmp_path, KEPT) as worker:
        refs = module(mounts(worker.runtime)[0]).REFS
        gc.collect()
        gc.disable()
        try:
            async with worker.client() as client:
                for target in ("/answered", "/crashed"):
                    await client.ask(request(target))
            for number, target in ((3, "/left"), (4, "/begun")):
                async with worker.client() as client:
                    client.send(request(target))
                    await eventually(lambda: len(refs) == number)  # noqa: B023
                    client.reset()
            await idle(worker)
            await eventually(lambda: all(ref() is None for ref in refs), str(refs))
        finally:
            gc.enable()
