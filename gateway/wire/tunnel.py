"""A request that goes on as a WebSocket (RFC 6455): bytes pass from one transport to the other, as they come."""

from __future__ import annotations

import asyncio
import struct
from time import monotonic
from typing import Any, Protocol

from gateway.wire.client_connection import ClientConnection
from gateway.wire.deadlines import NEVER
from gateway.wire.fields import tokens
from gateway.wire.head import Block, RequestHead, ResponseHead
from gateway.wire.transport import as_protocol
from gateway.wire.upstream_connection import UpstreamConnection

WEBSOCKET = b"websocket"
# Made anew on both sides: these fields are each hop's own (RFC 9110 §7.8).
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
# A close frame with the code 1001, "going away" (RFC 6455 §7.4.1).
GOING_AWAY = b"\x88\x02" + struct.pack("!H", 1001)
# The longest frame whose length stands in one byte, and its head (RFC 6455 §5.2).
SHORT = 125 + 2


def asks_for_websocket(head: RequestHead) -> bool:
    """Does this request of a client ask to go on as a WebSocket?"""
    block = head.block
    return (
        b"upgrade" in block.shape.telling
        and head.method == "GET"
        and head.version == "1.1"
        and not (block.chunked or block.content_length)
        and _upgrades(block)
    )


def answers_with_websocket(head: ResponseHead) -> bool:
    """Does this 101 go on as a WebSocket? Whether its Sec-WebSocket-Accept is right is the client's to judge."""
    return _upgrades(head.block) and head.length is None and not head.block.chunked


def _upgrades(block: Block) -> bool:
    return b"upgrade" in tokens(block.telling(b"connection")) and WEBSOCKET in tokens(block.telling(b"upgrade"))


class OpenCount(Protocol):
    """How many tunnels are open."""

    def inc(self, amount: float = 1) -> None:
        """So many more."""


class Tunnel:
    """A WebSocket between a client and an upstream.

    Back-pressure, and what is owed when a side leaves, are the two connections' as for every body; only the bytes pass
    them by. Frames are looked at in one direction, to know where the client may be told something between two of them.

    Mutable state: `rest`, the bytes that are missing of the frame under way to the client, and its head as long as
    that is not all here; whether the client is still to be told that the gateway goes away; what time without a byte
    there is left, 0 once that is over; and the upstream's transport while it takes what a client that has left sent.
    """

    __slots__ = (
        "_client", "_count", "_from_client", "_from_upstream", "_head", "_leaves", "_left", "_upstream", "check_at",
        "deadline", "idle", "rest",
    )  # fmt: skip

    def __init__(self, client: ClientConnection, upstream: UpstreamConnection, idle: float, count: OpenCount) -> None:
        """`idle` is in seconds."""
        self._client, self._upstream = client, upstream
        self._count = count
        self.idle = idle
        self.rest = 0
        self._head = b""
        self._leaves = False
        self._left: asyncio.Transport | None = None
        self.deadline = self.check_at = NEVER

    def open(self, head: ResponseHead, body: bytes) -> None:
        """Answer the client with 101, and with what came behind it; from here on all bytes pass."""
        client = self._client
        client.switch(b"".join((*head.pieces(), UPGRADE, b"\r\n", body)))
        self._from_client = _FromClient(self, client, self._upstream)
        self._from_upstream = _FromUpstream(self, client, self._upstream)
        self._count.inc()
        self._upstream.switch(self._from_upstream)
        if client.transport is not None:
            client.transport.set_protocol(self._from_client)
        client.deadlines.watch(self, monotonic() + self.idle)
        if body:
            self.feed(body)
        if client.handler.stopping:
            self.leave()

    def leave(self) -> None:
        """The gateway goes away: the client is told so, now or where the frame under way ends."""
        self._leaves = True
        self._tell()

    def feed(self, data: bytes) -> None:
        """The next slice to the client: where does the last frame in it end?"""
        at = 0
        if self._head:
            data = self._head + data
            self._head = b""
            self.rest = 0
        size = len(data)
        while at < size or self.rest:
            step = min(self.rest, size - at)
            self.rest -= step
            at += step
            if self.rest or at == size:
                break
            length = _frame_length(data, at)
            if length is None:
                self._head = data[at:]
                # At least one byte is missing.
                self.rest = 1
                break
            self.rest = length
        if self._leaves:
            self._tell()

    def end(self) -> None:
        """The service has closed its side."""

    def expired(self, now: float) -> None:
        """No byte has passed for too long, or the time to take leave is over as well."""
        if self._left is not None:
            self._left.abort()
        elif self.idle:
            # From now on bytes do not put it off.
            self.idle = 0.0
            self.leave()
            self._client.deadlines.watch(self, now + self._client.settings.linger_seconds)
        else:
            self._client.break_off()

    def client_left(self) -> None:
        """What the client has sent still goes to the upstream, for as long as a client might be idle."""
        upstream = self._upstream
        transport, upstream.transport = upstream.transport, None
        if transport is not None:
            self._left, self.idle = transport, 0.0
            transport.close()
            self._client.deadlines.watch(self, monotonic() + self._client.settings.idle_timeout)

    def upstream_left(self) -> None:
        """It is over; the client's connection is heard by itself again."""
        client = self._client
        client.deadlines.forget(self)
        self._count.inc(-1)
        self._left = None
        if client.transport is not None:
            client.transport.set_protocol(as_protocol(client))

    def _tell(self) -> None:
        if not self.rest:
            self._leaves = False
            # What the client answers goes to the service, which takes it for the client's wish to close.
            self._client.send_last(GOING_AWAY)
            self._from_upstream.write = _nowhere


class _FromClient(asyncio.Protocol):
    """What the client's transport calls. Mutable state: none of its own."""

    __slots__ = ("client", "exchange", "tunnel", "write")

    def __init__(self, tunnel: Tunnel, client: ClientConnection, upstream: UpstreamConnection) -> None:
        assert upstream.transport is not None
        self.tunnel, self.client = tunnel, client
        self.exchange: Any = client.exchange
        self.write = upstream.transport.write

    # An exception here is the transport's end, and with it that of both sides.
    def data_received(self, data: bytes) -> None:
        self.exchange.bytes_in += len(data)
        tunnel = self.tunnel
        tunnel.deadline = monotonic() + tunnel.idle
        self.write(data)

    def eof_received(self) -> bool:
        self.tunnel.client_left()
        return self.client.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self.tunnel.client_left()
        self.client.connection_lost(error)

    def pause_writing(self) -> None:
        self.client.pause_writing()

    def resume_writing(self) -> None:
        self.client.resume_writing()


class _FromUpstream(asyncio.Protocol):
    """What the upstream's transport calls. Mutable state: `write`, where its bytes go."""

    __slots__ = ("exchange", "tunnel", "upstream", "write")

    def __init__(self, tunnel: Tunnel, client: ClientConnection, upstream: UpstreamConnection) -> None:
        assert client.transport is not None
        self.tunnel, self.upstream = tunnel, upstream
        self.exchange: Any = client.exchange
        self.write = client.transport.write

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self.exchange.bytes_out += size
        tunnel = self.tunnel
        tunnel.deadline = monotonic() + tunnel.idle
        self.write(data)
        # Most slices are one short frame.
        if tunnel.rest or size > SHORT or size < 2 or data[1] != size - 2:
            tunnel.feed(data)

    def eof_received(self) -> bool:
        return self.upstream.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self.tunnel.upstream_left()
        self.upstream.connection_lost(error)

    def pause_writing(self) -> None:
        self.upstream.pause_writing()

    def resume_writing(self) -> None:
        self.upstream.resume_writing()


def _nowhere(data: bytes | bytearray | memoryview) -> None:
    """Nothing follows a close frame (RFC 6455 §5.5.1)."""


def _frame_length(data: bytes, at: int) -> int | None:
    """Bytes of the frame at `at`, its head included (RFC 6455 §5.2); None where its head is not all here."""
    if len(data) - at < 2:
        return None
    mark = data[at + 1]
    length, head = mark & 127, 2
    if length > 125:
        extended = 2 if length == 126 else 8
        head += extended
        if len(data) - at < head:
            return None
        length = int.from_bytes(data[at + 2 : at + head], "big")
    return length + head + (4 if mark & 128 else 0)
