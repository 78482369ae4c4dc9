"""The backend that stands in when nginx is absent: one uvloop protocol, nothing parsed but the target.

`python -m loadtest.backend --port N`: `/size/64k` and `/size/1m` answer that much, everything else a small JSON.
Requests must have no body, which is all the generators send.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

SMALL_BODY = (
    b'{"id": "42", "name": "a thing that somebody might buy", "price": 1999, '
    b'"currency": "EUR", "stock": 117, "tags": ["a", "b"]}'
)
SIZES = {"64k": 64 * 1024, "1m": 1024 * 1024}
HEADERS = b"Server: backend\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nVary: Accept-Encoding\r\n"


def answer(body: bytes, content_type: bytes) -> bytes:
    """A whole response with the headers every answer of the backend has."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n" % (content_type, len(body), HEADERS)
    return head + body


ANSWERS = {f"/size/{name}".encode(): answer(bytes(size), b"application/octet-stream") for name, size in SIZES.items()}
SMALL = answer(SMALL_BODY, b"application/json")


class Backend(asyncio.Protocol):
    """One connection. Pipelined and split requests both work; a head is found by its blank line only."""

    def __init__(self) -> None:
        self.rest = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's transports only look like asyncio's

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        heads = (self.rest + data).split(b"\r\n\r\n")
        self.rest = heads.pop()
        for head in heads:
            target = head.split(b" ", 2)[1]
            self.transport.write(ANSWERS.get(target, SMALL))


async def serve(protocol: type[Backend], port: int) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main(protocol: type[Backend], description: str | None) -> None:
    """Serve with one `protocol` for each connection, on the port that the command line names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    try:
        import uvloop

        uvloop.run(serve(protocol, options.port))
    except ImportError:
        asyncio.run(serve(protocol, options.port))


if __name__ == "__main__":
    main(Backend, __doc__)
