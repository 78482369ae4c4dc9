"""Bytes from one connection to another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from gateway.wire.deadlines import Deadlines
from gateway.wire.relay import Relay
from tests.support.polling import eventually, soon

RESET = struct.pack("ii", 1, 0)


class Between:
    """A relay between two sockets of a test. Mutable state: how often it told of its end."""

    def __init__(self, deadlines: Deadlines, idle: float) -> None:
        self.connections: set[object] = set()
        self.ends = 0
        self.relay = Relay(self.connections, deadlines, idle, self._ended)  # type: ignore[arg-type]
        self.client, self._client = socket.socketpair()
        self.upstream, self._upstream = socket.socketpair()
        for sock in (self.client, self._client, self.upstream, self._upstream):
            sock.setblocking(False)

    def _ended(self, relay: Relay) -> None:
        self.ends += 1

    @property
    def unopened(self) -> tuple[socket.socket, socket.socket]:
        """What the relay would have had."""
        return self._client, self._upstream

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self.relay.upstream, self._upstream)
        await loop.connect_accepted_socket(lambda: self.relay.client, self._client)


@contextlib.asynccontextmanager
async def between(idle: float = 10.0, opened: bool = True) -> AsyncIterator[Between]:
    deadlines = Deadlines()
    deadlines.start()
    found = Between(deadlines, idle)
    if opened:
        await found.open()
    try:
        yield found
        for sock in (found.client, found.upstream):
            sock.close()
        await eventually(lambda: not found.connections)
        assert found.ends == 1
        assert repr(deadlines) == "<Deadlines 0 watched>"
    finally:
        deadlines.stop()


async def read(sock: socket.socket) -> bytes:
    return await soon(asyncio.get_running_loop().sock_recv(sock, 65536))


async def write(sock: socket.socket, data: bytes) -> None:
    await soon(asyncio.get_running_loop().sock_sendall(sock, data))


@pytest.mark.parametrize("first", ["client", "upstream"])
async def test_each_side_may_end_before_the_other(first: str) -> None:
    async with between() as found:
        ends = [found.client, found.upstream]
        near, far = ends if first == "client" else reversed(ends)
        await write(near, b"question")
        near.shutdown(socket.SHUT_WR)
        assert (await read(far), await read(far)) == (b"question", b"")
        await write(far, b"answer")
        assert await read(near) == b"answer"
        far.shutdown(socket.SHUT_WR)
        assert await read(near) == b""
        await eventually(lambda: found.ends)
        assert found.relay.reason == ""
        assert (found.relay.client.received, found.relay.upstream.received) == ((8, 6) if first == "client" else (6, 8))


async def test_who_does_not_read_is_not_read_for() -> None:
    async with between() as found:
        sent, slice_ = 0, b"x" * 65536
        while True:
            try:
                async with asyncio.timeout(0.2):
                    await asyncio.get_running_loop().sock_sendall(found.client, slice_)
                    sent += len(slice_)
            except TimeoutError:
                break
            assert sent < 8 << 20, "it takes all that comes"
        got = 0
        found.client.shutdown(socket.SHUT_WR)
        while data := await read(found.upstream):
            got += len(data)
        assert got >= sent


async def test_nothing_passes_for_too_long() -> None:
    async with between(idle=0.2) as found:
        assert await read(found.client) == b""
        await eventually(lambda: found.ends)
        assert found.relay.reason == "idle for too long"


async def test_what_comes_before_the_other_side_is_there() -> None:
    async with between(opened=False) as found:
        await write(found.upstream, b"early")
        found.upstream.shutdown(socket.SHUT_WR)
        await found.open()
        assert (await read(found.client), await read(found.client)) == (b"early", b"")


async def test_a_side_that_is_gone_takes_the_other_with_it() -> None:
    async with between() as found:
        found.upstream.close()
        assert await read(found.client) == b""


async def test_the_end_of_the_time_to_stop() -> None:
    async with between() as found:
        found.relay.close_when_idle()
        found.relay.stopping()
        await write(found.client, b"goes on")
        assert await read(found.upstream) == b"goes on"
        found.relay.break_off()
        assert await read(found.client) == b""
        await eventually(lambda: found.ends)
        assert (found.relay.reason, repr(found.relay)) == ("the gateway stopped", "<Relay 7 bytes in, 0 out>")


async def test_the_client_comes_when_all_is_over() -> None:
    async with between(opened=False) as found:
        found.relay.abort("no reason")
        await found.open()
        assert await read(found.client) == b""
        await eventually(lambda: found.relay.client.transport is None)


async def test_one_that_was_never_open() -> None:
    async with between(opened=False) as found:
        found.relay.abort("no reason")
        for sock in (found.client, found.upstream, *found.unopened):
            sock.close()
