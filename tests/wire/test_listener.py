"""A listening socket."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.certificates import KeyPair
from gateway.wire.server_tls import Certificates, ServerTls, ServerTlsSettings
from tests.support.certificates import client_context, write_server
from tests.support.gateways import gateway, make_settings, request
from tests.support.polling import eventually, soon
from tests.support.raw_client import connected
from tests.support.raw_upstream import answering, upstream


async def test_port_0_becomes_a_real_one() -> None:
    async with gateway() as running:
        assert running.port > 0
        assert running.listener.address == f"127.0.0.1:{running.port}"
        assert "0 connections" in repr(running.listener)


async def test_ipv6() -> None:
    async with upstream(answering) as service, gateway(service.port, bind="::1") as running:
        assert running.listener.address == f"[::1]:{running.port}"
        async with connected(running.port, "::1") as client:
            assert (await client.ask(request(host=b"[::1]"))).body == b"ok"
    assert service.requests[0].get("x-forwarded-for") == "::1"


async def test_new_settings_are_for_open_connections_too() -> None:
    async with gateway() as running, running.client() as before:
        assert (await before.ask(request("/ping"))).status == 200
        running.listener.adopt(make_settings(request_head=100))
        long = request("/ping", b"X: " + b"a" * 200)
        async with running.client() as after:
            assert (await after.ask(long)).status == 431
        assert (await before.ask(long)).status == 431


async def test_what_a_reload_reserves_for_identities_is_taken_from_open_connections_too() -> None:
    forged = request("/x", b"X-User-Id: admin", b"x_user_id: admin")
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(forged)).status == 200
        running.listener.adopt(make_settings(identity_headers=["X-User-Id"]))
        assert (await client.ask(forged)).status == 200
    assert [seen.get("x-user-id") for seen in service.requests] == ["admin", None]
    assert service.requests[1].get("x_user_id") is None


async def test_stop_accepting() -> None:
    async with gateway() as running:
        running.listener.stop_accepting()
        running.listener.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            async with running.client():
                pass


async def test_connection_that_says_nothing_is_closed_by_a_stop() -> None:
    async with gateway() as running, running.client() as client:
        await eventually(lambda: running.listener.connections)
        running.listener.stop_accepting()
        assert await client.rest() == b""


async def handshake_and_read(
    client: ssl.SSLObject, received: ssl.MemoryBIO, sent: ssl.MemoryBIO, reader: asyncio.StreamReader, writer: Any
) -> bytes:
    while True:
        try:
            client.do_handshake()
            writer.write(sent.read())
            return client.read(1)
        except ssl.SSLWantReadError:
            received.write(await reader.read(65536))


async def test_connection_whose_handshake_ends_after_a_stop_is_closed(tmp_path: Path) -> None:
    write_server(tmp_path)
    pair = KeyPair(tmp_path / "server.crt", tmp_path / "server.key")
    tls = ServerTls(Certificates(ServerTlsSettings((pair,)), time.time()))
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(tmp_path).wrap_bio(received, sent, server_hostname="localhost")
    async with gateway(tls=tls) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        writer.write(sent.read())
        received.write(await reader.read(65536))
        running.proxy.stopping = True
        running.listener.stop_accepting()
        assert not running.listener.connections
        assert await soon(handshake_and_read(client, received, sent, reader, writer)) == b""
        writer.close()
