"""A service that fails as it is told to: `python -m loadtest.failing_service --port N`.

Its answer is its port. `GET /_mode/MODE` makes it answer 200 (`ok`), answer 500 (`500`), or reset every connection once
a request has come (`reset`). It is meant to be killed and stopped by signals as well.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import struct
from typing import cast


class Service(asyncio.Protocol):
    """One connection of requests without bodies. The mode is all connections'."""

    mode = "ok"
    body = b""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        heads = (self.rest + data).split(b"\r\n\r\n")
        self.rest = heads.pop()
        for head in heads:
            target = head.split(b" ", 2)[1].decode("latin-1")
            if target.startswith("/_mode/"):
                Service.mode = target.removeprefix("/_mode/")
                self._answer(b"200 OK")
            elif Service.mode == "reset":
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
                return
            else:
                self._answer(b"200 OK" if Service.mode == "ok" else b"500 Internal Server Error")

    def _answer(self, status: bytes) -> None:
        assert self.transport is not None
        head = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (status, len(self.body))
        self.transport.write(head + self.body)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    Service.body = b"%d" % port
    asyncio.run(serve(port))


if __name__ == "__main__":
    main()
