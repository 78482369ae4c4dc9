"""Just enough HTTP/1.1 over asyncio streams for the soak's clients and upstreams, and rude ways to end."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

HEAD_LIMIT = 64 * 1024


@dataclass(eq=False)
class Connection:
    """The two streams of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Ends with RST, as a process that crashed or a router that lost its table."""
        raw = self.writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()

    async def until_closed(self) -> bytes:
        """Reads until the other side ends; the last bytes it sent."""
        last = b""
        while part := await self.reader.read(65536):
            last = part
        return last


@dataclass(frozen=True)
class Head:
    """A first line and what is needed of the headers."""

    first: list[str]
    length: int
    chunked: bool = False

    @property
    def status(self) -> int:
        return int(self.first[1])

    @property
    def path(self) -> str:
        return self.first[1]


async def read_head(reader: asyncio.StreamReader) -> Head:
    """IncompleteReadError when the connection ends first."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = int(headers.get("content-length", "0"))
    return Head(lines[0].split(" ", 2), length, "chunked" in headers.get("transfer-encoding", ""))


def request(method: str, path: str, length: int = 0) -> bytes:
    body = f"Content-Length: {length}\r\n" if length else ""
    return f"{method} {path} HTTP/1.1\r\nHost: soak\r\nUser-Agent: soak\r\nAccept: */*\r\n{body}\r\n".encode()
