"""What is read of a new connection before it has a protocol: a PROXY header, and the server name of a TLS client."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gateway.errors import GatewayError
from gateway.wire.client_hello import HELLO_LIMIT, HelloError, parse_client_hello
from gateway.wire.deadlines import NEVER
from gateway.wire.headers import UNIX, is_trusted
from gateway.wire.proxy_protocol import UNKNOWN, Addresses, ProxyHeaderError, missing, parse_header
from gateway.wire.relay import Relay
from gateway.wire.transport import as_protocol

if TYPE_CHECKING:
    from gateway.wire.client_settings import ClientSettings
    from gateway.wire.listener import Listener

log = logging.getLogger("gateway.wire")
# Then others have their turn.
ACCEPTED_PER_TURN = 64
# With no file descriptor left, accepting would fail again at once.
OUT_OF_FILES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
ACCEPT_AGAIN = 1.0
# Where the system cannot wait for more than there is, the pause before another look; it doubles up to the second.
LOOK_AGAIN, LOOK_SELDOM = 0.005, 0.5
# Fatal alerts (RFC 8446 §6): unrecognized_name, and internal_error.
NAME_UNKNOWN = b"\x15\x03\x03\x00\x02\x02\x70"
NOT_REACHED = b"\x15\x03\x03\x00\x02\x02\x50"
PLAIN_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 33\r\n\r\n"
PLAIN_HTTP += b"this port speaks TLS; use https:\n"


class Destination(Protocol):
    """Where connections of some server names go. `idle` is in seconds."""

    idle: float

    async def dial(self, client: Addresses) -> tuple[socket.socket, Callable[[str, Relay], None]]:
        """A connected socket, and what is to be called with the client's address when all is over. GatewayError when
        there is none."""


class Passthrough(Protocol):
    """Which connections are passed through."""

    def find(self, server_name: str) -> Destination | None:
        """Where this name goes; None for one that is served here."""


class Acceptor:
    """Accepts from a listening socket, and hands on what it got as it is. Mutable state: the timer of a pause."""

    def __init__(self, sock: socket.socket, accepted: Callable[[socket.socket, Any], None]) -> None:
        """`accepted` gets each connection's socket, and the other side's address as `accept` gives it."""
        self._socket = sock
        self._accepted = accepted
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From now on."""
        self._socket.setblocking(False)
        self._pause = None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def stop(self) -> None:
        """No more."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_PER_TURN):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_FILES:
                    raise
                log.error("no connection can be accepted: %s", error.strerror)
                self.stop()
                self._pause = asyncio.get_running_loop().call_later(ACCEPT_AGAIN, self.start)
                return
            sock.setblocking(False)
            self._accepted(sock, address)


class Opening:
    """A connection of which it is not known yet what it is. It is one of its listener's connections until it is handed
    on or closed.

    Mutable state: what came of the PROXY header and what that said, how much of the hello was seen, whether it is told
    of more, the timer of a pause, the task that hands it on, and the deadline.
    """

    __slots__ = (
        "_expects_header",
        "_header",
        "_listener",
        "_pause",
        "_pauses",
        "_reads",
        "_seen",
        "_socket",
        "_task",
        "_told",
        "check_at",
        "deadline",
        "exchange",
        "peer",
    )

    def __init__(self, listener: Listener, sock: socket.socket, address: Any) -> None:
        self.deadline = self.check_at = NEVER
        self.exchange: Opening | None = None
        self.peer = str(address[0]) if isinstance(address, tuple) else UNIX
        self._expects_header = is_trusted(self.peer, listener.settings.proxy_protocol)
        self._told: Addresses | None = None
        self._listener = listener
        self._socket = sock
        self._header = b""
        self._seen = 0
        self._reads = False
        self._pauses = LOOK_AGAIN
        self._pause: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def begin(self) -> None:
        """Look at what is there, and wait for the rest until the deadline."""
        listener = self._listener
        listener.connections.add(self)
        listener.deadlines.watch(self, time.monotonic() + listener.settings.head_timeout)
        self._look()

    def expired(self, now: float) -> None:
        """It took too long."""
        self._refuse("what it is did not come in time")

    # for the listener

    def adopt(self, settings: ClientSettings) -> None:
        """A reload: nothing is remembered of the settings but who has to begin with a header."""

    def close_when_idle(self) -> None:
        """The gateway stops: nothing has been asked for yet."""
        if self._task is None:
            self._close()

    def stopping(self) -> None:
        """It goes on until it is handed on."""

    def break_off(self) -> None:
        """The time to stop is over."""
        if self._task is not None:
            self._task.cancel()
        self._close()

    # what comes

    def _look(self) -> None:
        try:
            if self._expects_header:
                self._read_header()
            passthrough = self._listener.settings.passthrough
            if passthrough is None:
                self._begin(self._serve())
            else:
                self._read_hello(passthrough)
        except (BlockingIOError, InterruptedError):
            self._await_more()
        except ProxyHeaderError as error:
            self._refuse(str(error))
        except OSError:
            self._close()
        except Exception:
            log.exception("the beginning of a connection was not handled")
            self._close()

    def _read_header(self) -> None:
        """Read the PROXY header and nothing behind it. BlockingIOError where it is not all here."""
        while wanted := missing(self._header):
            data = self._socket.recv(wanted)
            if not data:
                raise ProxyHeaderError("it closed before its PROXY header was whole")
            self._header += data
        self._told = parse_header(self._header)
        self._expects_header = False

    def _read_hello(self, passthrough: Passthrough) -> None:
        """Look at the ClientHello, which stays where it is, for whoever is to answer it."""
        data = self._socket.recv(HELLO_LIMIT, socket.MSG_PEEK)
        if not data:
            self._close()
            return
        terminates = self._listener.tls is not None
        try:
            hello = parse_client_hello(data)
        except HelloError as error:
            if terminates:
                # Whoever ends TLS here has the last word.
                self._begin(self._serve())
            else:
                self._refuse(str(error), PLAIN_HTTP if data[:1].isalpha() else b"")
            return
        if isinstance(hello, int):
            self._await_hello(hello, len(data))
            return
        destination = passthrough.find(hello.server_name)
        if destination is not None:
            self._begin(self._pass_through(destination))
        elif terminates:
            self._begin(self._serve())
        else:
            self._refuse(f"nothing is passed through for {hello.server_name or 'no name'}", NAME_UNKNOWN)

    def _await_more(self) -> None:
        if not self._reads:
            self._reads = True
            asyncio.get_running_loop().add_reader(self._socket, self._look)

    def _await_hello(self, wanted: int, seen: int) -> None:
        """So many bytes are wanted. Those that are seen stay where they are and must not wake us again."""
        if seen != self._seen and self._socket.family != socket.AF_UNIX:
            self._seen = seen
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            self._await_more()
            return
        # A Unix socket does not know that mark, and an end of file goes past it.
        self._stop_reading()
        self._pause = asyncio.get_running_loop().call_later(self._pauses, self._look)
        self._pauses = min(2 * self._pauses, LOOK_SELDOM)

    # what becomes of it

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._detach()
        self.exchange = self
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._listener.connections.discard(self)
        self._task = self.exchange = None
        if task.cancelled() or task.exception() is None:
            return
        self._socket.close()
        log.error("a connection was not handed on", exc_info=task.exception())

    async def _serve(self) -> None:
        """To HTTP, through TLS where the listener ends that."""
        listener = self._listener
        context = listener.tls.context if listener.tls is not None else None

        def protocol() -> asyncio.Protocol:
            connection = listener.connection()
            connection.told = self._told
            if context is None:
                # From here on that one counts.
                listener.connections.discard(self)
            return as_protocol(connection)

        loop = asyncio.get_running_loop()
        limits: dict[str, Any] = {}
        if context is not None:
            limits["ssl_handshake_timeout"] = listener.settings.head_timeout
            limits["ssl_shutdown_timeout"] = listener.settings.idle_timeout
        try:
            await loop.connect_accepted_socket(protocol, self._socket, ssl=context, **limits)
        except OSError as error:
            log.debug("a connection from %s came to nothing: %s", self.peer, error)
            self._socket.close()

    async def _pass_through(self, destination: Destination) -> None:
        """To an upstream, as it is."""
        listener = self._listener
        told = self._told or self._ends()
        try:
            sock, ended = await destination.dial(told)
        except GatewayError as error:
            self._refuse(f"{error.kind.word}: {error.cause}", NOT_REACHED)
            return
        relay = Relay(listener.connections, listener.deadlines, destination.idle, partial(ended, told.source))
        listener.connections.discard(self)
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: relay.upstream, sock)
            await loop.connect_accepted_socket(lambda: relay.client, self._socket)
        except OSError:
            relay.abort("it closed at once")
        finally:
            if relay.upstream.transport is None:
                sock.close()
            if relay.client.transport is None:
                self._socket.close()
                relay.abort("it was not handed on")

    def _ends(self) -> Addresses:
        address = self._socket.getsockname()
        try:
            source = self._socket.getpeername()
        except OSError:
            return UNKNOWN
        return UNKNOWN if self.peer == UNIX else Addresses(source[0], source[1], address[0], address[1])

    def _refuse(self, reason: str, answer: bytes = b"") -> None:
        log.info("a connection from %s is refused: %s", self.peer, reason)
        if answer:
            try:
                # Closing with unread bytes would reset the connection, and the answer with it.
                self._socket.recv(HELLO_LIMIT)
                self._socket.send(answer)
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        self._close()

    def _stop_reading(self) -> None:
        if self._reads:
            self._reads = False
            asyncio.get_running_loop().remove_reader(self._socket)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _detach(self) -> None:
        self._stop_reading()
        self._listener.deadlines.forget(self)
        if self._seen:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def _close(self) -> None:
        if self._socket.fileno() >= 0:
            self._stop_reading()
        self._listener.deadlines.forget(self)
        self._listener.connections.discard(self)
        self._socket.close()

    def __repr__(self) -> str:
        return f"<Opening {self.peer} {'handed on' if self._task is not None else 'waits'}>"
