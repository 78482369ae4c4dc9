"""Raw TLS by its server name, between programs that other people wrote."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.certificates import make_certificate
from tests.support.peers import listens
from tests.support.polling import eventually, soon
from tests.support.ports import free_port
from tests.support.runtimes import Running, running

NAME = "grpc.example.com"
ROUTES = """version: 1
listeners:
  - bind: 127.0.0.1:0
    passthrough: [{{names: [grpc.example.com, "*.apps.example.com"], to: up}}]
admin: {{bind: '127.0.0.1:0'}}
upstreams:
  up: {{endpoints: [{endpoints}], {options}}}
"""


async def output(*command: str, given: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await soon(process.communicate(given))
    return said.decode(errors="replace")


async def client(port: int, name: str = NAME, *options: str, given: bytes = b"") -> str:
    """What openssl's client says of a connection."""
    return await output(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, *options, given=given
    )


@contextlib.asynccontextmanager
async def openssl_server(folder: Path) -> AsyncIterator[int]:
    """openssl's server: HTTP/2 by ALPN, and a page for a GET."""
    certificate, key = make_certificate(folder, NAME)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(certificate), "-key", str(key)),
        *("-alpn", "h2", "-www", "-quiet"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await eventually(lambda: listens(port))
        yield port
    finally:
        process.kill()
        await process.wait()


class EchoService:
    """TLS by Python's ssl, which answers each connection with its bytes in upper case once the client has ended."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.greeting = b""
        self.peers: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[0])
        writer.write(self.greeting)
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def echo_service(folder: Path) -> AsyncIterator[int]:
    certificate, key = make_certificate(folder, NAME, "*.apps.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    service = EchoService(context)
    server = await asyncio.start_server(service, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


@contextlib.asynccontextmanager
async def passing(folder: Path, *ports: int, options: str = "outliers: off") -> AsyncIterator[Running]:
    endpoints = ", ".join(f"'http://127.0.0.1:{port}'" for port in ports)
    async with running(folder, ROUTES.format(endpoints=endpoints, options=options)) as worker:
        yield worker
        await eventually(lambda: not worker.runtime.listeners[0].connections, "connections are left")


async def tls(worker: Running, folder: Path, name: str = NAME) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=str(folder / f"{NAME}.crt"))
    return await soon(asyncio.open_connection("127.0.0.1", worker.port, ssl=context, server_hostname=name))


async def test_openssl_on_both_sides_agrees_on_http_2(tmp_path: Path) -> None:
    async with openssl_server(tmp_path) as port, passing(tmp_path, port) as worker:
        said = await client(worker.port, NAME, "-alpn", "h2", "-ign_eof", given=b"GET / HTTP/1.0\r\n\r\n")
        assert "ALPN protocol: h2" in said
        assert f"subject=CN = {NAME}" in said
        assert "HTTP/1.0 200 ok" in said
        await eventually(lambda: not worker.runtime.listeners[0].connections)
        metrics = (await worker.get("/metrics")).body.decode()
    assert 'gateway_passthrough_connections_total{result="closed",upstream="up"} 1.0' in metrics


async def test_a_megabyte_each_way(tmp_path: Path) -> None:
    async with echo_service(tmp_path) as port, passing(tmp_path, port) as worker:
        reader, writer = await tls(worker, tmp_path)
        sent = b"abcd" * 262_144
        writer.write(sent)
        assert await soon(reader.readexactly(len(sent))) == sent.upper()
        writer.close()


async def test_names_that_are_not_passed_through(tmp_path: Path) -> None:
    async with echo_service(tmp_path) as port, passing(tmp_path, port) as worker:
        for name in ("other.example.com", "apps.example.com"):
            assert "unrecognized name" in await client(worker.port, name)
        assert "unrecognized name" in await output(
            "openssl", "s_client", "-connect", f"127.0.0.1:{worker.port}", "-noservername"
        )
        async with worker.client() as plain:
            plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await plain.rest()).startswith(b"HTTP/1.1 400 ")
        async with worker.client() as garbage:
            garbage.send(b"\x16\x03\x01\x00\x05\x02aaaa")
            assert await garbage.ends() in ("closed", "reset")
