"""The gateway between programs that other people wrote: nginx behind it, aiohttp on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.support.aiohttp_server import listening
from tests.support.gateways import gateway, request
from tests.support.polling import eventually
from tests.support.ports import free_port

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; client_max_body_size 50m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port}; root {folder}; keepalive_requests 3;
        location /files/ {{ }}
        location /echo/ {{ return 200 "$request_method $request_uri $http_x_forwarded_for"; }}
        location /gone {{ return 204; }}
        location /old {{ return 304; }}
    }}
}}
"""


@contextlib.asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[int]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    assert program, "nginx is not installed: .ci/run installs it, or: apt-get install nginx-light"
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(folder), "-c", str(folder / "nginx.conf"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await eventually(lambda: listens(port), "nginx does not listen")
        yield port
    finally:
        process.terminate()
        await process.wait()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def test_nginx_as_the_service(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "big.bin").write_bytes(content)
    async with nginx(tmp_path) as port, gateway(port) as running, running.client() as client:
        for _ in range(5):
            answer = await client.ask(request("/echo/a%20b?x=1"))
            assert answer.body == b"GET /echo/a%20b?x=1 127.0.0.1"
        assert (await client.ask(request("/files/big.bin"))).body == content
        head = await client.ask(request("/files/big.bin", method="HEAD"), "HEAD")
        assert head.get("content-length") == str(len(content))
        part = await client.ask(request("/files/big.bin", b"Range: bytes=10-19"))
        assert (part.status, part.body) == (206, content[10:20])
        assert (await client.ask(request("/gone"))).status == 204
        assert (await client.ask(request("/old"))).status == 304
        assert (await client.ask(request("/files/none"))).status == 404
        client.send(request("/echo/1") + request("/echo/2") + request("/files/big.bin"))
        assert (await client.response()).body.startswith(b"GET /echo/1")
        assert (await client.response()).body.startswith(b"GET /echo/2")
        assert (await client.response()).body == content


async def _hash(request: web.Request) -> web.StreamResponse:
    digest, size = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        digest.update(piece)
        size += len(piece)
    return web.json_response({"sha256": digest.hexdigest(), "size": size, "via": request.headers.getall("Via")})


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(200):
        await response.write(b"%05d" % number * 100)
    await response.write_eof()
    return response


async def _breaks(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"abc")
    assert request.transport is not None
    request.transport.abort()
    return response


def aiohttp_server() -> contextlib.AbstractAsyncContextManager[int]:
    app = web.Application(client_max_size=1 << 26)
    app.add_routes([web.route("*", "/hash", _hash), web.get("/stream", _stream), web.get("/breaks", _breaks)])
    return listening(app)


async def test_aiohttp_on_both_sides() -> None:
    body = b"0123456789abcdef" * 60_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    async with aiohttp_server() as port, gateway(port) as running, aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{running.port}"
        for data, options in ((body, {}), (pieces(), {}), (body, {"expect100": True}), (b"", {})):
            async with session.post(f"{base}/hash", data=data, **options) as response:
                told = await response.json()
            sent = b"" if data == b"" else body
            assert (told["size"], told["sha256"]) == (len(sent), hashlib.sha256(sent).hexdigest())
            assert told["via"] == ["1.1 gateway"]
        async with session.get(f"{base}/stream") as response:
            assert await response.read() == b"".join(b"%05d" % number * 100 for number in range(200))
        async with session.head(f"{base}/hash") as response:
            assert response.status == 200
        async with session.get(f"{base}/breaks") as response:
            try:
                await response.read()
            except (aiohttp.ClientPayloadError, ConnectionError):
                pass
            else:
                raise AssertionError("a body cut short looked complete")
        answers = await asyncio.gather(*[_get(session, f"{base}/stream") for _ in range(30)])
        assert {len(answer) for answer in answers} == {100_000}


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as response:
        return await response.read()
