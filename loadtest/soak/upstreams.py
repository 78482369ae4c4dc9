"""An upstream whose behaviour is named by the request's path, and one that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from loadtest.soak.wire import HEAD_LIMIT, Connection, Head, read_head

LARGE = 512 * 1024
SMALL = b'{"ok":true}'
FOREVER = 60.0  # longer than any time-out of the gateway


def ok(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length


class Rude(Exception):
    """The connection is to be reset now."""


async def good(connection: Connection, head: Head) -> None:
    await connection.send(ok(len(SMALL)) + SMALL)


async def large(connection: Connection, head: Head) -> None:
    await connection.send(ok(LARGE) + bytes(LARGE))


async def upload(connection: Connection, head: Head) -> None:
    await connection.reader.readexactly(head.length)
    await connection.send(ok(len(SMALL)) + SMALL)


async def slow(connection: Connection, head: Head) -> None:
    """A slow answer that is whole in the end."""
    await asyncio.sleep(0.3)
    await connection.send(ok(30))
    for _ in range(3):
        await asyncio.sleep(0.3)
        await connection.send(bytes(10))


async def hang(connection: Connection, head: Head) -> None:
    await asyncio.wait_for(connection.until_closed(), FOREVER)
    raise Rude


async def hang_in_body(connection: Connection, head: Head) -> None:
    await connection.send(ok(1000) + bytes(100))
    await hang(connection, head)


async def reset(connection: Connection, head: Head) -> None:
    raise Rude


async def reset_in_head(connection: Connection, head: Head) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    raise Rude


async def reset_after_head(connection: Connection, head: Head) -> None:
    await connection.send(ok(1000))
    await asyncio.sleep(0.05)
    raise Rude


async def cut(connection: Connection, head: Head) -> None:
    """Closed politely, in the middle of the body."""
    await connection.send(ok(1000) + bytes(500))
    connection.close()


async def cut_chunked(connection: Connection, head: Head) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nnot sixty-four bytes")
    connection.close()


async def garbage(connection: Connection, head: Head) -> None:
    await connection.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    connection.close()


async def early(connection: Connection, head: Head) -> None:
    """Answers before the request's body has come, and closes."""
    await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    connection.close()


BEHAVIOURS: dict[str, Callable[[Connection, Head], Awaitable[None]]] = {
    "good": good,
    "large": large,
    "upload": upload,
    "slow": slow,
    "hang": hang,
    "hang-in-body": hang_in_body,
    "reset": reset,
    "reset-in-head": reset_in_head,
    "reset-after-head": reset_after_head,
    "cut": cut,
    "cut-chunked": cut_chunked,
    "garbage": garbage,
    "early": early,
}
FAULTY = tuple(name for name in BEHAVIOURS if name not in {"good", "large", "upload", "slow"})


class Upstream:
    """A listening upstream and its open connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: set[Connection] = set()
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=HEAD_LIMIT, backlog=1024)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections.add(connection)
        try:
            while not writer.is_closing():
                head = await read_head(reader)
                behaviour = BEHAVIOURS.get(head.path.rstrip("/").rpartition("/")[2], good)
                await behaviour(connection, head)
        except (Rude, OSError, EOFError, TimeoutError):
            connection.reset()
        finally:
            self.connections.discard(connection)
            connection.close()

    def vanish(self) -> None:
        """Stops listening and resets every connection."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in list(self.connections):
            connection.reset()

    async def stop(self) -> None:
        """Vanishes and waits until every handler has seen it."""
        self.vanish()
        for _ in range(200):
            if not self.connections:
                return
            await asyncio.sleep(0.01)

    async def flap(self, there: float, away: float) -> None:
        """Comes and goes until it is cancelled."""
        try:
            while True:
                await asyncio.sleep(there)
                self.vanish()
                await asyncio.sleep(away)
                with contextlib.suppress(OSError):
                    await self.start()
        finally:
            self.vanish()
