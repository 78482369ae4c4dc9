"""A service that does exactly what its script says, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.support.messages import Message, read_body, read_head
from tests.support.polling import eventually, soon

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One connection that the gateway made."""

    def __init__(self, upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.upstream = upstream
        self.reader = reader
        self.writer = writer

    async def head(self) -> Message:
        """The next request's head; its body is left unread."""
        message = await read_head(self.reader)
        self.upstream.requests.append(message)
        return message

    async def request(self) -> Message:
        """The next request, whole."""
        message = await self.head()
        await read_body(self.reader, message)
        return message

    def send(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        self.writer.write(data)

    async def gone(self) -> str:
        """Wait until the gateway leaves: 'closed' or 'reset'. What it still sends is thrown away."""
        try:
            while await soon(self.reader.read(65536)):
                pass
        except ConnectionError:
            return "reset"
        return "closed"

    def close(self) -> None:
        """FIN, after what was sent."""
        self.writer.close()

    def reset(self) -> None:
        """RST, and what was not read is lost."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawUpstream:
    """A listening socket, a script for each connection, and what was asked. `failures` are the scripts' own."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Message] = []
        self.connections = 0
        self.open = 0
        self.failures: list[BaseException] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.script(Peer(self, reader, writer))
            writer.close()
            await writer.wait_closed()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.transport.abort()
            self.open -= 1
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Cut what is open."""
        for task in list(self._tasks):
            task.cancel()
        await eventually(lambda: not self._tasks)


@contextlib.asynccontextmanager
async def upstream(
    script: Script, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawUpstream]:
    """A service for a while, over TLS with a context; an AssertionError inside its script is raised at the end."""
    service = RawUpstream(script)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.bind(("127.0.0.1", 0))
    limit = 1 << 20 if receive_buffer is None else receive_buffer
    server = await asyncio.start_server(service._accepted, sock=sock, limit=limit, ssl=tls)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        await service.stop()
    assert not service.failures, service.failures


async def answering(peer: Peer) -> None:
    """Two bytes for every request, on one connection."""
    while True:
        await peer.request()
        peer.send(OK)


async def echoing(peer: Peer) -> None:
    """Every request's body back."""
    while True:
        message = await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(message.body), message.body))


def saying(*pieces: bytes, close: bool = False) -> Script:
    """Answer each request with `pieces`, sent one by one; `close` ends the connection after the first."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            for piece in pieces:
                peer.send(piece)
                await peer.writer.drain()
                await asyncio.sleep(0)
            if close:
                return

    return script


def held_until(go: asyncio.Event, answer: bytes = OK) -> Script:
    """Answer each request once `go` is set."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await go.wait()
            peer.send(answer)

    return script


def in_turn(*scripts: Script) -> Script:
    """The first connection follows the first script, and so on; the last script serves all the rest."""
    seen = iter(range(1 << 30))

    async def script(peer: Peer) -> None:
        await scripts[min(next(seen), len(scripts) - 1)](peer)

    return script


async def silent(peer: Peer) -> None:
    """Read the request, say nothing, wait to be left."""
    await peer.request()
    await peer.gone()
