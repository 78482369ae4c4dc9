"""What is read of a connection before it has a protocol."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.config.fields import Bind
from gateway.errors import GatewayError, Kind
from gateway.process.sockets import open_sockets
from gateway.wire import preface
from gateway.wire.certificates import KeyPair
from gateway.wire.preface import Acceptor
from gateway.wire.proxy_protocol import Addresses, write_header
from gateway.wire.relay import Relay
from gateway.wire.server_tls import Certificates, ServerTls, ServerTlsSettings
from tests.support.certificates import make_certificate
from tests.support.gateways import Gateway, gateway, make_settings, request
from tests.support.hellos import hello_of, in_records
from tests.support.polling import eventually, soon, turns
from tests.support.raw_upstream import answering, upstream

LOOPBACK = (ip_network("127.0.0.0/8"),)
TOLD = Addresses("192.0.2.7", 51000, "198.51.100.1", 443)
HEADERS = [write_header("v1", TOLD), write_header("v2", TOLD)]
HELLO = hello_of("a.example")


def expecting(**options: Any) -> Any:
    return make_settings(proxy_protocol=LOOPBACK, **options)


@pytest.mark.parametrize("header", HEADERS, ids=["v1", "v2"])
async def test_the_client_is_who_the_header_says(header: bytes) -> None:
    async with upstream(answering) as service, gateway(service.port, settings=expecting()) as running:
        async with running.client() as client:
            assert (await client.ask(header + request())).body == b"ok"
            assert (await client.ask(request())).body == b"ok"
        async with running.client() as client:
            await client.send_slowly(header)
            assert (await client.ask(request())).body == b"ok"
    assert [seen.get("x-forwarded-for") for seen in service.requests] == [TOLD.source] * 3


@pytest.mark.parametrize(
    ("trusted", "header", "told"),
    [
        (("192.0.2.0/24",), HEADERS[0], "203.0.113.9, 192.0.2.7"),
        (("127.0.0.0/8",), HEADERS[0], "192.0.2.7"),
        (("127.0.0.0/8",), write_header("v2", None), "203.0.113.9, 127.0.0.1"),
        (("127.0.0.0/8", "unix"), write_header("v1", None), "unknown"),
    ],
    ids=["who is told of is trusted", "who tells is not", "one that speaks for itself", "nobody knows whom"],
)
async def test_whom_trusted_proxies_is_about(trusted: tuple[str, ...], header: bytes, told: str) -> None:
    settings = make_settings(proxy_protocol=LOOPBACK)
    object.__setattr__(settings, "trusted_proxies", tuple(ip_network(one) if one != "unix" else one for one in trusted))
    async with upstream(answering) as service, gateway(service.port, settings=settings) as running:
        asked = request("/x", b"X-Forwarded-For: 203.0.113.9")
        async with running.client() as client:
            assert (await client.ask(header + asked)).status == 200
    assert service.requests[0].get("x-forwarded-for") == told


async def test_others_are_not_believed() -> None:
    settings = make_settings(proxy_protocol=(ip_network("10.0.0.0/8"),))
    async with upstream(answering) as service, gateway(service.port, settings=settings) as running:
        async with running.client() as client:
            assert (await client.ask(request())).status == 200
        for header in HEADERS:
            async with running.client() as client:
                assert (await client.ask(header + request())).status in (400, 501)
    assert [seen.get("x-forwarded-for") for seen in service.requests] == ["127.0.0.1"]


@pytest.mark.parametrize("data", [request(), b"PROXY TCP4 x\r\n", b"", b"PROXY TC"])
async def test_without_a_header_nobody_is_served(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.wire")
    async with gateway(settings=expecting()) as running, running.client() as client:
        client.send(data)
        if not data.startswith(b"GET"):
            client.finish()
        assert await client.ends() in ("closed", "reset")
    assert "a connection from 127.0.0.1 is refused: " in caplog.text


async def test_one_byte_a_second_is_cut() -> None:
    async with gateway(settings=expecting(head_timeout=0.3)) as running, running.client() as client:
        client.send(HEADERS[0][:20])
        assert await client.ends() in ("closed", "reset")
        await eventually(lambda: not running.listener.connections)


async def test_no_more_wait_than_may_be_connected() -> None:
    async with gateway(settings=expecting(connections=2)) as running, running.client() as first, running.client():
        await eventually(lambda: len(running.listener.connections) == 2)
        async with running.client() as third:
            assert await third.ends() in ("closed", "reset")
        assert (await first.ask(HEADERS[0] + request("/ping"))).status == 200


async def test_a_stop_closes_what_has_asked_for_nothing() -> None:
    async with gateway(settings=expecting()) as running, running.client() as client:
        await eventually(lambda: running.listener.connections)
        (opening,) = running.listener.connections
        assert repr(opening) == "<Opening 127.0.0.1 waits>"
        running.listener.stop_accepting()
        assert await client.rest() == b""
        assert not running.listener.connections


async def test_a_reload_that_begins_and_ends_to_expect_headers() -> None:
    async with gateway() as running, running.client() as before:
        assert (await before.ask(request("/ping"))).status == 200
        running.listener.adopt(expecting())
        async with running.client() as client:
            assert (await client.ask(HEADERS[1] + request("/ping"))).status == 200
        assert (await before.ask(request("/ping"))).status == 200
        running.listener.adopt(make_settings())
        async with running.client() as client:
            assert (await client.ask(request("/ping"))).status == 200


async def test_no_file_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exhausted:
        def __init__(self, sock: socket.socket) -> None:
            self.sock, self.failures = sock, 2

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

        def accept(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self.sock.accept()

    monkeypatch.setattr(preface, "ACCEPT_AGAIN", 0.01)
    (sock,) = open_sockets(Bind("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    acceptor = Acceptor(Exhausted(sock), lambda one, address: accepted.append(one))  # type: ignore[arg-type]
    acceptor.start()
    with sock, socket.create_connection(sock.getsockname()):
        await eventually(lambda: accepted)
    acceptor.stop()
    accepted[0].close()


# the server name


class Names:
    """Passes `a.example` through to a port. Mutable state: what was told of clients, and of ends."""

    idle = 5.0

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[str] = []
        self.ended: list[tuple[str, str]] = []

    def find(self, server_name: str) -> Names | None:
        return self if server_name == "a.example" else None

    async def dial(self, client: Addresses) -> tuple[socket.socket, Callable[[str, Relay], None]]:
        self.clients.append(client.source)
        if not self.port:
            raise GatewayError(Kind.NO_ENDPOINT, cause="none")
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setblocking(False)
        return sock, lambda source, relay: self.ended.append((source, relay.reason))


@contextlib.asynccontextmanager
async def passing(**options: Any) -> AsyncIterator[tuple[Gateway, Names, list[bytes]]]:
    """A gateway that passes connections on to a service which keeps what it reads, and answers with it."""
    received: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(b"")
        while data := await reader.read(65536):
            received[-1] += data
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    names = Names(server.sockets[0].getsockname()[1])
    async with gateway(settings=make_settings(passthrough=names, **options)) as running:
        yield running, names, received
    server.close()


@pytest.mark.parametrize("header", [b"", *HEADERS], ids=["alone", "v1", "v2"])
@pytest.mark.parametrize("slowly", [False, True])
async def test_each_byte_of_the_hello_goes_on(header: bytes, slowly: bool) -> None:
    hello = in_records(HELLO[5:], [1, 50, 100])
    async with passing(proxy_protocol=LOOPBACK if header else ()) as (running, names, received):
        async with running.client() as client:
            if slowly:
                await client.send_slowly(header + hello, 7)
            else:
                client.send(header + hello)
            assert await client.read(len(hello)) == hello
            client.finish()
            assert await client.rest() == b""
        await eventually(lambda: names.ended)
    assert received == [hello]
    source = TOLD.source if header else "127.0.0.1"
    assert (names.clients, names.ended) == ([source], [(source, "")])


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (hello_of("b.example"), preface.NAME_UNKNOWN),
        (hello_of(None), preface.NAME_UNKNOWN),
        (request(), preface.PLAIN_HTTP),
    ],
    ids=["another name", "no name", "plain HTTP"],
)
async def test_what_is_not_passed_through_is_refused_where_no_tls_ends(data: bytes, answer: bytes) -> None:
    async with passing() as (running, names, received), running.client() as client:
        client.send(data)
        assert await client.rest() == answer
        assert (names.clients, received) == ([], [])


async def test_garbage() -> None:
    async with passing() as (running, names, _), running.client() as client:
        client.send(b"\x00\x01")
        assert await client.ends() in ("closed", "reset")
        assert names.clients == []


async def test_no_endpoint() -> None:
    async with passing() as (running, names, _), running.client() as client:
        names.port = 0
        client.send(HELLO)
        assert await client.rest() == preface.NOT_REACHED


async def test_a_client_that_leaves_before_its_hello_is_whole() -> None:
    async with passing() as (running, names, _):
        async with running.client() as client:
            client.send(HELLO[:50])
            await eventually(lambda: running.listener.connections)
        await eventually(lambda: running.listener.connections)
        async with running.client() as client:
            client.finish()
            assert await client.rest() == b""
        for opening in list(running.listener.connections):
            opening.break_off()
        assert names.clients == []


async def test_what_waits_for_more_does_not_keep_the_loop_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    real = preface.parse_client_hello
    monkeypatch.setattr(preface, "parse_client_hello", lambda data: looks.append(len(data)) or real(data))
    async with passing(head_timeout=0.4) as (running, _, _), running.client() as client:
        client.send(HELLO[:50])
        client.finish()
        assert await client.ends() in ("closed", "reset")
    assert len(looks) < 20


async def test_names_that_are_ended_here(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "b.example")
    tls = ServerTls(Certificates(ServerTlsSettings((KeyPair(certificate, key),)), time.time()))
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with passing(proxy_protocol=LOOPBACK) as (running, names, _):
        running.listener.tls = tls
        for header in HEADERS:
            sock = socket.create_connection(("127.0.0.1", running.port))
            sock.sendall(header)
            reader, writer = await soon(asyncio.open_connection(sock=sock, ssl=trusting, server_hostname="b.example"))
            writer.write(request("/ping"))
            assert (await soon(reader.readline())).startswith(b"HTTP/1.1 200 ")
            writer.close()
        async with running.client() as client:
            client.send(HEADERS[0] + request())
            assert await client.ends() in ("closed", "reset")
        async with running.client() as client:
            client.send(HEADERS[0] + HELLO)
            assert await client.read(len(HELLO)) == HELLO
        assert names.clients == [TOLD.source]


async def test_what_is_passed_through_goes_on_when_the_gateway_stops_until_it_is_cut() -> None:
    async with passing() as (running, names, _), running.client() as client:
        client.send(HELLO)
        assert await client.read(len(HELLO)) == HELLO
        running.listener.stop_accepting()
        client.send(b"more")
        assert await client.read(4) == b"more"
        running.listener.abort()
        assert await client.ends() == "reset"
        await eventually(lambda: names.ended)
        assert names.ended == [("127.0.0.1", "the gateway stopped")]


async def test_a_client_that_resets(tmp_path: Path) -> None:
    async with passing() as (running, names, _):
        sock = socket.create_connection(("127.0.0.1", running.port))
        sock.sendall(HELLO)
        await eventually(lambda: names.clients)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        await eventually(lambda: not running.listener.connections)
        await turns()
