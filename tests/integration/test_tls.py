"""Clients over TLS: what holds for plain connections holds here too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.certificates import KeyPair
from gateway.wire.server_tls import Certificates, ServerTls, ServerTlsSettings
from tests.support.certificates import client_context, write_server
from tests.support.gateways import Gateway, gateway, make_settings, request
from tests.support.polling import eventually
from tests.support.raw_client import RawClient, connected
from tests.support.raw_upstream import Peer, answering, echoing, silent, upstream

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def server_tls(folder: Path, *names: str, **options: Any) -> ServerTls:
    write_server(folder, "server", *names)
    pair = KeyPair(folder / "server.crt", folder / "server.key")
    return ServerTls(Certificates(ServerTlsSettings((pair,), **options), time.time()))


@contextlib.asynccontextmanager
async def secured(folder: Path, *ports: int, **options: Any) -> AsyncIterator[Gateway]:
    settings = make_settings(scheme="https", **options)
    async with gateway(*ports, settings=settings, tls=server_tls(folder)) as running:
        yield running


@contextlib.asynccontextmanager
async def client_of(
    running: Gateway, folder: Path, version: ssl.TLSVersion | None = None, **options: Any
) -> AsyncIterator[RawClient]:
    async with connected(running.port, tls=client_context(folder, version=version), **options) as client:
        yield client


@pytest.mark.parametrize("version", VERSIONS)
async def test_requests_on_one_connection(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with (
        upstream(echoing) as service,
        secured(tmp_path, service.port) as running,
        client_of(running, tmp_path, version) as client,
    ):
        for size in (0, 5, 300_000):
            answer = await client.ask(request("/x", method="POST", body=b"a" * size))
            assert (answer.status, len(answer.body)) == (200, size)
        client.send(request("/1") + request("/2") + request("/ping"))
        assert [(await client.response()).status for _ in range(3)] == [200, 200, 200]
        negotiated = client.writer.get_extra_info("ssl_object")
        assert negotiated.version() == version.name.replace("_", ".")
    sent = service.requests[0]
    assert (sent.get("x-forwarded-proto"), sent.get("x-forwarded-for")) == ("https", "127.0.0.1")


async def test_http_1_1_is_chosen_where_more_is_offered(tmp_path: Path) -> None:
    context = client_context(tmp_path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with secured(tmp_path) as running, connected(running.port, tls=context) as client:
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        assert (await client.ask(request("/ping"))).status == 200


async def test_what_is_cut_does_not_look_whole(tmp_path: Path) -> None:
    async def breaking(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        await peer.writer.drain()
        await asyncio.sleep(0.01)
        peer.reset()

    async with (
        upstream(breaking) as service,
        secured(tmp_path, service.port) as running,
        client_of(running, tmp_path) as client,
    ):
        client.send(request("/x"))
        assert (await client.head()).status == 200
        assert await client.ends() == "reset"


async def test_an_answer_without_a_length_ends_with_close_notify(tmp_path: Path) -> None:
    async def closing(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"a" * 200_000)

    async with (
        upstream(closing) as service,
        secured(tmp_path, service.port) as running,
        client_of(running, tmp_path) as client,
    ):
        client.send(request("/x", version="1.0"))
        assert (await client.rest()).endswith(b"\r\n\r\n" + b"a" * 200_000)


async def test_a_slow_reader_holds_its_upstream_back(tmp_path: Path) -> None:
    body = b"0123456789" * 1_000_000

    async def flooding(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        peer.send(body)
        await peer.writer.drain()
        await peer.gone()

    async with (
        upstream(flooding) as service,
        secured(tmp_path, service.port) as running,
        client_of(running, tmp_path, receive_buffer=16 * 1024) as client,
    ):
        client.send(request("/x"))
        assert (await client.head()).status == 200
        await eventually(lambda: any(one.congested for one in running.listener.connections))
        (connection,) = running.listener.connections
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_size() < 1 << 20
        assert await client.read(len(body)) == body


async def test_a_client_that_leaves_is_noticed(tmp_path: Path) -> None:
    async with upstream(silent) as service, secured(tmp_path, service.port) as running:
        for leave in (RawClient.close, RawClient.reset):
            async with client_of(running, tmp_path) as client:
                client.send(request("/x"))
                await eventually(lambda: running.proxy.active == 1)
                left = leave(client)
                if left is not None:
                    await left
                await running.idle()
    assert [outcome for _, outcome, _ in running.recorder.finished] == ["client_gone"] * 2


async def test_a_refused_request_is_answered_before_the_end(tmp_path: Path) -> None:
    async with (
        secured(tmp_path, request_body=10, linger_seconds=60.0) as running,
        client_of(running, tmp_path) as client,
    ):
        client.send(request("/ping", b"Content-Length: 100000", method="POST") + b"a" * 50_000)
        assert (await client.response()).status == 413
        assert await client.rest() == b""


async def test_plain_http_on_a_port_of_tls(tmp_path: Path) -> None:
    async with secured(tmp_path) as running, running.client() as client:
        client.send(request("/ping"))
        await client.ends()
        assert not running.listener.connections


async def test_a_handshake_takes_no_longer_than_a_head_may(tmp_path: Path) -> None:
    async with secured(tmp_path, head_timeout=0.05) as running, running.client() as client:
        await client.ends()


@pytest.mark.parametrize("idle", (True, False))
async def test_a_client_that_does_not_say_goodbye_holds_nothing_up(tmp_path: Path, idle: bool) -> None:
    settings = {"linger_seconds": 0.1, "idle_timeout": 60.0}
    async with upstream(answering) as service, secured(tmp_path, service.port, **settings) as running:
        plain = await _deaf_client(running.port, tmp_path)
        try:
            await asyncio.to_thread(plain.sendall, request("/x") if idle else request("/x", b"Connection: close"))
            await eventually(lambda: running.recorder.finished)
            if idle:
                running.listener.stop_accepting()
            await eventually(lambda: not running.listener.connections)
        finally:
            plain.close()


async def test_a_slow_reader_gets_the_end_of_its_answer(tmp_path: Path) -> None:
    body = b"0123456789" * 10_000

    async def answering_much(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await peer.gone()

    async with upstream(answering_much) as service, secured(tmp_path, service.port, linger_seconds=0.05) as running:
        # The system takes little: most of the answer waits in this process.
        running.listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        slow = await _deaf_client(running.port, tmp_path, 4096)
        try:
            await asyncio.to_thread(slow.sendall, request("/x", b"Connection: close"))
            await eventually(lambda: running.recorder.finished)
            (connection,) = running.listener.connections
            closing = connection.deadline
            # Its time is over more than once, and each time there is something that it has not taken.
            await eventually(lambda: connection.deadline > closing + 0.2)
            assert (await asyncio.to_thread(_read, slow, 1 << 30)).endswith(b"\r\n\r\n" + body)
        finally:
            slow.close()


def _read(sock: ssl.SSLSocket, size: int) -> bytes:
    """So many bytes, or all until the end, which is one of TLS."""
    found = b""
    while len(found) < size and (more := sock.recv(min(65536, size - len(found)))):
        found += more
    return found


async def _deaf_client(port: int, folder: Path, receive_buffer: int | None = None) -> ssl.SSLSocket:
    """One that reads only when it is told to."""

    def connect() -> ssl.SSLSocket:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(("127.0.0.1", port))
        return client_context(folder).wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)

    return await asyncio.to_thread(connect)
