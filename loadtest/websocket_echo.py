"""WebSocket echo, the least there can be: a service for the bench, and what its clients send.

`python -m loadtest.websocket_echo --port N`: a request with `Upgrade: websocket` goes on as one, whose messages come
back; everything else is answered as `loadtest.backend` does. Clients mask with a key of four zeros, so that no CPU goes
into masking, and messages are at most 125 bytes long.
"""

from __future__ import annotations

from loadtest.backend import Backend, main

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
ASKS = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
KEY = bytes(4)


def message(size: int) -> bytes:
    """What a client sends: one masked text frame with so many bytes."""
    return bytes((0x81, 0x80 | size)) + KEY + b"x" * size


def echoed(size: int) -> int:
    """How long the echo of such a message is."""
    return 2 + size


class Echo(Backend):
    """One connection: requests until one asks for a WebSocket, frames from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.switched = False

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if self.switched:
            self.echo(data)
        elif b"\r\nupgrade: websocket\r\n" in data.lower() and data.endswith(b"\r\n\r\n"):
            self.switched = True
            self.transport.write(SWITCH)
        else:
            super().data_received(data)

    def echo(self, data: bytes) -> None:
        """Every whole frame back, unmasked."""
        assert self.transport is not None
        data = self.rest + data
        at, frames = 0, []
        while len(data) - at >= 2 and len(data) - at >= 6 + (size := data[at + 1] & 127):
            frames.append(bytes((data[at], size)) + data[at + 6 : at + 6 + size])
            at += 6 + size
        self.rest = data[at:]
        if frames:
            self.transport.write(b"".join(frames))


if __name__ == "__main__":
    main(Echo, __doc__)
