"""Sockets to endpoints."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.wire.dial import client_ends, dial, unix_address
from gateway.wire.proxy_protocol import UNKNOWN, Addresses

TOLD = Addresses("192.0.2.7", 1, "192.0.2.8", 2)


@pytest.mark.parametrize("name", ["{}/s", "@aiogate-test-dial"])
async def test_over_a_unix_socket_with_a_header(tmp_path: Path, name: str) -> None:
    path = name.format(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(unix_address(path))
        server.listen()
        with await dial(f"unix:{path}", 0, b"header"):
            accepted, _ = server.accept()
            with accepted:
                assert accepted.recv(100) == b"header"


async def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        real = type(asyncio.get_running_loop()).getaddrinfo

        async def getaddrinfo(self: Any, host: str, port: int, **options: Any) -> Any:
            if host == "127.0.0.1":
                return await real(self, host, port, **options)
            ports = (unused_tcp_port, server.getsockname()[1]) if host == "two" else ()
            return [(socket.AF_INET, None, None, None, ("127.0.0.1", one)) for one in ports]

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)
        with await dial("two", 80) as sock:
            assert sock.getpeername() == server.getsockname()
        with pytest.raises(socket.gaierror):
            await dial("none", 80)


async def test_nobody_listens(tmp_path: Path, unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await dial("127.0.0.1", unused_tcp_port)
    with pytest.raises(FileNotFoundError):
        await dial(f"unix:{tmp_path}/none", 0)


def test_whose_request_it_is() -> None:
    ends = {"peername": ("192.0.2.7", 1), "sockname": ("192.0.2.8", 2)}
    client = SimpleNamespace(told=None, transport=SimpleNamespace(get_extra_info=ends.get))
    exchange = SimpleNamespace(client=client)
    part = SimpleNamespace(client=SimpleNamespace(owner=SimpleNamespace(exchange=exchange)))
    for of in (exchange, part):
        assert client_ends(SimpleNamespace(exchange=of)) == TOLD
    client.told = UNKNOWN
    assert client_ends(SimpleNamespace(exchange=exchange)) is UNKNOWN
    client.told = client.transport = None
    assert client_ends(SimpleNamespace(exchange=exchange)) is None
    assert client_ends(object()) is None
