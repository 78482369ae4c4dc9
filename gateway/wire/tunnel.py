"""A request that goes on as a WebSocket (RFC 6455): to the wire both directions are bodies without an end, relayed as
all bodies are."""

from __future__ import annotations

import struct

from gateway.wire.client_connection import ClientConnection
from gateway.wire.fields import tokens
from gateway.wire.head import Block, RequestHead, ResponseHead

WEBSOCKET = b"websocket"
# Made anew on both sides: these fields are each hop's own (RFC 9110 §7.8).
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
# A close frame with the code 1001, "going away" (RFC 6455 §7.4.1).
GOING_AWAY = b"\x88\x02" + struct.pack("!H", 1001)


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
    """Does this 101 go on as a WebSocket?"""
    return _upgrades(head.block) and head.length is None and not head.block.chunked


def _upgrades(block: Block) -> bool:
    return b"upgrade" in tokens(block.telling(b"connection")) and WEBSOCKET in tokens(block.telling(b"upgrade"))


class Tunnel:
    """The client's side of a WebSocket. It sees what passes to the client, as a tap does, to know where frames end.

    Mutable state: bytes of the frame that are still to come, a frame's head that is not all here, and whether the
    client is still to be told that the gateway goes away.
    """

    __slots__ = ("_client", "_head", "_leaves", "_rest")

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self._rest = 0
        self._head = b""
        self._leaves = False

    def open(self, head: ResponseHead, body: bytes) -> None:
        """Answer the client with 101, and with what came behind it; from here on all its bytes are a body."""
        client = self._client
        client.switch(b"".join((*head.pieces(), UPGRADE, b"\r\n", body)))
        if body:
            self.feed(body)
        if client.handler.stopping:
            self.leave()

    def leave(self) -> None:
        """The gateway stops: the client is told so, now or where the frame under way ends."""
        self._leaves = True
        self._tell()

    def feed(self, data: bytes) -> None:
        """The next slice to the client."""
        at = 0
        if self._head:
            data = self._head + data
            self._head = b""
        size = len(data)
        while at < size or self._rest:
            step = min(self._rest, size - at)
            self._rest -= step
            at += step
            if self._rest or at == size:
                break
            length = _frame_length(data, at)
            if length is None:
                self._head = data[at:]
                break
            self._rest = length
        if self._leaves:
            self._tell()

    def end(self) -> None:
        """The service has closed its side."""

    def _tell(self) -> None:
        if not (self._rest or self._head):
            self._leaves = False
            # What the client answers goes to the service, which takes it for the client's wish to close.
            self._client.send_last(GOING_AWAY)


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
