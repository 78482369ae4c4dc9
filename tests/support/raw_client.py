"""A client that sends exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator

from tests.support.messages import Message, read_head, read_response
from tests.support.polling import soon


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Hand bytes to the socket, without waiting."""
        self.writer.write(data)

    async def send_slowly(self, data: bytes, step: int = 1) -> None:
        """In pieces that arrive one by one."""
        for start in range(0, len(data), step):
            self.writer.write(data[start : start + step])
            await self.writer.drain()
            await asyncio.sleep(0)

    async def ask(self, data: bytes, method: str = "GET") -> Message:
        """Send, and read one final answer."""
        self.send(data)
        return await self.response(method)

    async def response(self, method: str = "GET") -> Message:
        """The next final answer; interim ones are an error."""
        message = await soon(read_response(self.reader, method))
        assert message.status >= 200, message.head
        return message

    async def head(self) -> Message:
        """The next head alone."""
        return await soon(read_head(self.reader))

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        return await soon(self.reader.readexactly(size))

    async def rest(self) -> bytes:
        """All that comes until the gateway closes cleanly. ConnectionError when it resets."""
        return await soon(self.reader.read())

    async def ends(self) -> str:
        """How the connection ends: 'closed' or 'reset'. Whatever still comes before is thrown away."""
        try:
            await self.rest()
        except ConnectionError:
            return "reset"
        return "closed"

    def finish(self) -> None:
        """FIN: nothing more will be sent."""
        self.writer.write_eof()

    def reset(self) -> None:
        """RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close and wait for it."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await soon(self.writer.wait_closed())


@contextlib.asynccontextmanager
async def connected(
    port: int,
    host: str = "127.0.0.1",
    receive_buffer: int | None = None,
    tls: ssl.SSLContext | None = None,
    server_name: str = "localhost",
) -> AsyncIterator[RawClient]:
    """A client for a while. `receive_buffer` makes for one that takes little before it has to read; with `tls` it asks
    for `server_name`."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except OSError:
        sock.close()
        raise
    limit = 1 << 20 if receive_buffer is None else receive_buffer
    secured = {"ssl": tls, "server_hostname": server_name} if tls is not None else {}
    try:
        reader, writer = await asyncio.open_connection(sock=sock, limit=limit, **secured)
    except BaseException:
        sock.close()
        raise
    client = RawClient(reader, writer)
    try:
        yield client
    finally:
        await client.close()
