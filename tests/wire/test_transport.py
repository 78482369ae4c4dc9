"""What is done with a transport, on real sockets where the kernel has a say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from gateway.wire.proxy_protocol import UNKNOWN, Addresses
from gateway.wire.transport import (
    WRITE_HIGH,
    WRITE_LOW,
    both_ends,
    closes_quietly,
    finish_writing,
    opened,
    peer_address,
    pending,
    reset,
)
from tests.support.polling import eventually, soon


class NoSocket:
    """A transport that notes what is done to it."""

    def __init__(self, **extra: Any) -> None:
        self.extra = extra
        self.calls: list[Any] = []

    def get_extra_info(self, name: str) -> Any:
        return self.extra.get(name)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.calls.append((high, low))

    def abort(self) -> None:
        self.calls.append("abort")

    def can_write_eof(self) -> bool:
        return "ssl_object" not in self.extra

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def close(self) -> None:
        self.calls.append("close")


def test_new_transport_gets_our_marks() -> None:
    made = NoSocket()
    transport: Any = made
    assert opened(transport) is transport
    assert made.calls == [(WRITE_HIGH, WRITE_LOW)]


@pytest.mark.parametrize(
    ("peername", "address"),
    [(("1.2.3.4", 80), "1.2.3.4"), (("::1", 80, 0, 0), "::1"), ("/tmp/x", "unix"), ("", "unix"), (None, "unix")],
)
def test_peer_address(peername: Any, address: str) -> None:
    transport: Any = NoSocket(peername=peername)
    assert peer_address(transport) == address


def test_transport_without_a_socket_is_aborted() -> None:
    transport: Any = NoSocket()
    reset(transport)
    assert transport.calls == ["abort"]


@pytest.mark.parametrize(("extra", "call"), (({}, "write_eof"), ({"ssl_object": 1}, "close")))
def test_tls_knows_no_end_of_one_side(extra: dict[str, Any], call: str) -> None:
    transport: Any = NoSocket(**extra)
    finish_writing(transport)
    assert transport.calls == [call]


async def test_tls_may_close_while_it_sends() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, socket.create_connection(listening.getsockname()) as sending, listening.accept()[0]:
        sending.setblocking(False)
        slow: Any = NoSocket(ssl_object=1, socket=sending)
        plain: Any = NoSocket(socket=sending)
        assert (closes_quietly(slow), slow.calls) == (True, ["abort"])
        with contextlib.suppress(BlockingIOError):
            while True:
                sending.send(bytes(65536))
        slow.calls.clear()
        assert (closes_quietly(slow), slow.calls) == (True, [])
        assert (closes_quietly(plain), plain.calls) == (False, [])
    assert closes_quietly(None) is False
    for gone in (NoSocket(ssl_object=1), NoSocket(ssl_object=1, socket=sending)):
        transport: Any = gone
        assert (closes_quietly(transport), gone.calls) == (True, ["abort"]), "there is nothing left to ask"


@pytest.mark.parametrize("resets", [True, False])
async def test_reset_is_seen_as_a_reset_and_an_abort_is_not(resets: bool) -> None:
    """The peer had all that was written; only the way it ends tells it that there should have been more."""
    made: list[asyncio.Transport] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(opened(transport))

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    with socket.socket() as peer:
        async with server:
            peer.setblocking(False)
            await soon(loop.sock_connect(peer, server.sockets[0].getsockname()))
            await eventually(lambda: made)
            made[0].write(b"half")
            assert await soon(loop.sock_recv(peer, 10)) == b"half"
            assert peer_address(made[0]) == "127.0.0.1"
            if resets:
                reset(made[0])
                with pytest.raises(ConnectionResetError):
                    await soon(loop.sock_recv(peer, 10))
            else:
                made[0].abort()
                assert await soon(loop.sock_recv(peer, 10)) == b""


def test_both_ends() -> None:
    transport: Any = NoSocket(peername=("::1", 80, 0, 0), sockname=("::2", 81, 0, 0))
    assert both_ends(transport) == Addresses("::1", 80, "::2", 81)
    transport = NoSocket(peername="", sockname="/run/a")
    assert both_ends(transport) is UNKNOWN


async def test_what_the_peer_has_yet_to_acknowledge_is_pending() -> None:
    near, far = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, near)
    assert pending(transport) == 0
    transport.write(b"x" * 5_000_000)
    with far:
        far.setblocking(False)
        full = pending(transport)
        assert full > transport.get_write_buffer_size() > 0
        assert len(await asyncio.get_running_loop().sock_recv(far, 50_000)) > 0
        await eventually(lambda: pending(transport) < full)
        transport.abort()
        await eventually(lambda: near.fileno() < 0)
        assert pending(transport) == 0
