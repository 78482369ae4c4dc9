"""One connection to one endpoint, and the one stream it carries at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gateway.errors import GatewayError, Kind
from gateway.wire.framing import write_chunk
from gateway.wire.head import ResponseHead
from gateway.wire.response_parser import ResponseParser, SwitchedProtocols
from gateway.wire.transport import opened

if TYPE_CHECKING:
    from gateway.wire.pool import Pool

log = logging.getLogger("gateway.wire")


class Receiver(Protocol):
    """Who waits for a response. Exactly one of `failed` and an `ended=True` comes last, and nothing after it."""

    def connected(self, connection: UpstreamConnection) -> None:
        """The pool found or made a connection: send the request on it."""

    def interim(self, head: ResponseHead) -> None:
        """A 1xx head."""

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """The final head, with as much of the body as came with it."""

    def response_body(self, body: bytes, ended: bool) -> None:
        """More of the body."""

    def failed(self, error: GatewayError, stale: bool) -> None:
        """No more will come. `stale`: a reused connection died before any byte of an answer."""

    def pause_sending(self) -> None:
        """The upstream reads slowly."""

    def resume_sending(self) -> None:
        """The upstream reads again."""


@runtime_checkable
class Upgrader(Protocol):
    """A receiver that may have asked to go on in another protocol."""

    def upgraded(self, head: ResponseHead, body: bytes) -> None:
        """A 101, with what came behind it; more of that is a body that ends with the connection. GatewayError where
        nobody asked."""


class UpstreamConnection:
    """HTTP/1.1 client side. Owned by its pool while idle, by its receiver while in use.

    Mutable state: the parser, the receiver, whether the request has been sent whole, whether the other side takes it
    too slowly, and whether we do, and whether it has said that it ends.
    """

    __slots__ = (
        "_congested",
        "_ended",
        "_paused",
        "_request_ended",
        "born",
        "chunked",
        "header",
        "idle_since",
        "parser",
        "pool",
        "receiver",
        "transport",
        "uses",
    )

    def __init__(self, pool: Pool, head_limit: int) -> None:
        self.pool = pool
        self.parser = ResponseParser(head_limit)
        self.receiver: Receiver | None = None
        self.transport: asyncio.Transport | None = None
        self.born = time.monotonic()
        self.idle_since = self.born
        self.uses = 0
        self.header = b""  # what was sent ahead of all requests: who the client is
        self.chunked = False
        self._request_ended = True
        self._paused = False
        self._congested = False
        self._ended = False

    # the receiver calls these

    def send(self, data: bytes, ended: bool, chunked: bool, bodyless: bool) -> None:
        """Send a request head, with as much of the body as is there, framed already. `bodyless`: it is a HEAD."""
        self.uses += 1
        self.chunked = chunked
        self._request_ended = ended
        self.parser.next(bodyless)
        assert self.transport is not None
        self.transport.write(data)

    def send_body(self, data: bytes, ended: bool) -> None:
        """Send more of the body."""
        self._request_ended = ended
        transport = self.transport
        if transport is None:
            return
        if self.chunked:
            write_chunk(transport, data, ended)
        elif data:
            transport.write(data)

    def pause_reading(self) -> None:
        """The client reads slowly."""
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """The client reads again."""
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    def switch(self, protocol: asyncio.Protocol) -> None:
        """What comes from here on is `protocol`'s, and the connection the pool's no more: it never comes back, and
        requests need not wait for it to end."""
        self.pool.forget(self)
        if self.transport is not None:
            self.transport.set_protocol(protocol)

    def abort(self) -> None:
        """Give the exchange up: the receiver hears no more, the connection is closed at once."""
        self.receiver = None
        self.close()

    def close(self) -> None:
        """Close; the pool forgets the connection at once."""
        transport = self.transport
        if transport is not None:
            self.transport = None
            self.pool.forget(self)
            transport.abort()

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = opened(transport)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            # Nobody asked for these bytes: whatever they are, the next answer must not begin with them.
            self.close()
            return
        parser = self.parser
        try:
            began = parser.head is not None
            parser.feed(data)
            if parser.interim:
                for interim in parser.interim:
                    receiver.interim(interim)
                parser.interim = []
                if self.receiver is not receiver:
                    return
            head = parser.head
            if head is None:
                return
            ended = parser.complete
            body = parser.take_body()
            if ended:
                self._release(head)
            if not began:
                receiver.response(head, body, ended)
            elif body or ended:
                receiver.response_body(body, ended)
        except SwitchedProtocols:
            self._upgrade(receiver)
        except GatewayError as error:
            self._fail(receiver, error)
        except Exception as error:
            log.exception("an upstream's bytes were not handled")
            self._fail(receiver, GatewayError(Kind.INTERNAL, cause=repr(error)))

    def eof_received(self) -> bool:
        self._ended = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        receiver = self.receiver
        parser = self.parser
        began = parser.head is not None
        self.close()
        if receiver is None:
            return
        self.receiver = None
        try:
            parser.feed_eof()
            # Over TLS anybody on the way could end the connection, but not say close_notify (RFC 9112 §9.8).
            whole = error is None and (self._ended or self.pool.limits.tls is None)
            if began and parser.complete and whole:
                receiver.response_body(b"", True)
            elif began:
                receiver.failed(GatewayError(Kind.UPSTREAM_INCOMPLETE, cause=str(error or "closed mid-body")), False)
            else:
                stale = self.uses > 1 and not parser.begun
                receiver.failed(GatewayError(Kind.UPSTREAM_RESET, cause=str(error or "closed before a head")), stale)
        except Exception:
            log.exception("the end of an upstream connection was not handled")

    def pause_writing(self) -> None:
        self._congested = True
        if self.receiver is not None:
            self.receiver.pause_sending()

    def resume_writing(self) -> None:
        self._congested = False
        if self.receiver is not None:
            self.receiver.resume_sending()

    def _release(self, head: ResponseHead) -> None:
        """The response is all here: back to the pool, or closed where that is not safe."""
        self.receiver = None
        if self.transport is None:
            return
        if head.block.keep_alive and self._request_ended and not self.parser.surplus and not self._congested:
            if self._paused:
                self.resume_reading()
            self.pool.release(self)
        else:
            self.close()

    def _upgrade(self, receiver: Receiver) -> None:
        head = self.parser.head
        try:
            if head is None or not isinstance(receiver, Upgrader):
                raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="an upgrade that nobody asked for")
            receiver.upgraded(head, self.parser.take_body())
        except GatewayError as error:
            self._fail(receiver, error)
        except Exception as error:
            log.exception("an upgrade was not handled")
            self._fail(receiver, GatewayError(Kind.INTERNAL, cause=repr(error)))

    def _fail(self, receiver: Receiver, error: GatewayError) -> None:
        """Give up what `receiver` waits for. The connection itself may be somebody else's already."""
        if self.receiver is receiver or self.receiver is None:
            self.abort()
        try:
            receiver.failed(error, False)
        except Exception:
            log.exception("a failure was not handled")

    def __repr__(self) -> str:
        state = "closed" if self.transport is None else "active" if self.receiver else "idle"
        return f"<UpstreamConnection {self.pool.address} {state} uses={self.uses}>"
