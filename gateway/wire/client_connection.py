"""One connection from a client, and the one stream it carries at a time."""

from __future__ import annotations

import asyncio
import logging
import time

from gateway.errors import GatewayError, Kind
from gateway.wire.client_certificate import client_certificate
from gateway.wire.client_settings import ClientSettings, Handler
from gateway.wire.connections import Connections
from gateway.wire.date import DATE
from gateway.wire.deadlines import Deadlines
from gateway.wire.framing import JOIN, write_chunk
from gateway.wire.head import ResponseHead, status_line
from gateway.wire.pausing import BODY, PIPELINE, WRITE, PausingConnection
from gateway.wire.proxy_protocol import Addresses
from gateway.wire.response_text import BODYLESS, unusual_framing
from gateway.wire.stash import PIECE, Stash
from gateway.wire.transport import closes_quietly, finish_writing, opened, peer_address, pending, reset

log = logging.getLogger("gateway.wire")
TAKEN = 1024  # bytes of a response: whoever takes fewer in the time that it might be idle takes nothing


class ClientConnection(PausingConnection):
    """HTTP/1.1 server side, and the client stream of the exchange it carries. Mutable state besides the stream's: the
    parser, whether the response has begun and ended, why reading is paused, and what a slow reader had yet to take."""

    __slots__ = (
        "_bodyless", "_chunked", "_closing", "_connections", "_eof", "_head_begun", "_keep", "_lingered", "_lingers",
        "_pending", "_reading", "_stash", "certificate", "deadlines", "handler", "parser", "responded", "told",
    )  # fmt: skip

    def __init__(
        self, handler: Handler, settings: ClientSettings, deadlines: Deadlines, connections: Connections
    ) -> None:
        PausingConnection.__init__(self, settings)
        self.handler, self.deadlines, self._connections = handler, deadlines, connections
        self.responded = self._bodyless = self._chunked = self._closing = False
        self._eof = self._head_begun = self._lingers = self._reading = False
        self._keep, self._lingered, self._pending = True, 0, 0
        self._stash: Stash | None = None
        self.told: Addresses | None = None  # both ends, where a proxy before us has said so

    def watch(self, deadline: float) -> None:
        self.deadline = deadline
        if deadline < self.check_at:
            self.deadlines.watch(self, deadline)

    def send_interim(self, status: int, block: bytes = b"") -> None:
        """Send a 1xx head. Only for HTTP/1.1 clients, and before the response."""
        head = self.parser.head
        if self.transport is not None and not self.responded and head is not None and head.version == "1.1":
            self.transport.write(status_line(status, b"") + block + b"\r\n")

    def respond(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """Send the head, and as much of the body as is there, in one write where it is small."""
        transport = self.transport
        if transport is None:
            return
        self.responded = True
        parser = self.parser
        request = parser.head
        pieces = head.pieces()
        if not head.block.dated:
            date = DATE
            pieces.append(date.line())
        keep = request is not None and request.block.keep_alive and parser.complete and not self.handler.stopping
        if head.length is None or head.status in BODYLESS or request is None or request.method == "HEAD":
            body, keep, self._chunked, self._bodyless = unusual_framing(head, request, pieces, body, ended, keep)
        else:
            self._chunked = self._bodyless = False
        if not keep:
            pieces.append(b"Connection: close\r\n")
        elif request is not None and request.version == "1.0":
            pieces.append(b"Connection: keep-alive\r\n")
        self._keep = keep
        if len(body) <= JOIN:
            pieces += (b"\r\n", body)
            transport.write(b"".join(pieces))
        else:
            # Over TLS each piece would be a record of its own.
            pieces.append(b"\r\n")
            transport.writelines((b"".join(pieces), body))

    def send_body(self, body: bytes, ended: bool) -> None:
        """Send more of the body."""
        transport = self.transport
        if transport is None or self._bodyless:
            return
        if self._chunked:
            write_chunk(transport, body, ended)
        elif body:
            transport.write(body)

    def switch(self, head: bytes) -> None:
        """Answer with a 101: all that came behind the request, or comes from here on, is a body without an end."""
        if self.transport is not None:
            self.responded, self._bodyless, self._chunked = True, False, False
            self.transport.write(head)
            self.refuse_rest()
            early = self.parser.switch()
            self._resume(PIPELINE)
            if early:
                self._receive_more(early)
            self._feed_body()

    def send_last(self, data: bytes) -> None:
        """Send more of the body, and nothing after it."""
        self.send_body(data, False)
        self._bodyless = True

    def finished(self, now: float) -> None:
        """The response is sent and the exchange over: on to the next request, or to the end."""
        self.exchange, self.responded, self._head_begun = None, False, False
        parser = self.parser
        if not self._keep or self._closing or (self._eof and not (parser.rest or self._stash)):
            self._end()
            return
        parser.next()
        self.deadline = deadline = now + self.settings.idle_timeout
        if deadline < self.check_at:
            self.deadlines.watch(self, deadline)
        if self._pauses:
            self._resume(BODY if self._pauses & WRITE else BODY | PIPELINE)
        if parser.rest or self._stash or self._eof:
            self._guarded_advance()

    def abort(self) -> None:
        """Break the connection so that nobody can take what was sent for whole."""
        transport, self.exchange = self.transport, None
        if transport is not None:
            self._forget(close=False)
            reset(transport)

    def limit_chunked(self, limit: int) -> None:
        if limit < self.parser.chunked_limit:
            self.parser.chunked_limit = limit

    def refuse_rest(self) -> None:
        """What is still to come of the request is not wanted: close after the answer, and let the client finish."""
        self._keep, self._lingers = False, True

    def adopt(self, settings: ClientSettings) -> None:
        """A reload: what it trusts and strips holds from the next head on."""
        self.settings = settings
        self.trusted, self.unusual = settings.regard(self.peer, self.certificate)
        self.parser.adopt(*settings.parsing(self.trusted))

    def break_off(self) -> None:
        """The time to stop is over: the answer under way is cut."""
        exchange = self.exchange
        self.abort()
        if exchange is not None:
            self.handler.client_gone(exchange)

    def close_after_answer(self) -> None:
        """No more requests: close now if none is under way, else after it."""
        if self.exchange is None and self.transport is not None and not self.parser.begun:
            self._end()
        else:
            self._keep = False

    def close_when_idle(self) -> None:
        """The gateway stops: close after the request under way, or after one that comes soon, or then without one."""
        self._keep = False
        if self.exchange is None and self.transport is not None and not self.parser.begun:
            self.watch(time.monotonic() + self.settings.last_request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = opened(transport)
        self._connections.add(self)
        self.peer, settings = self.told.source if self.told else peer_address(self.transport), self.settings
        self.certificate = client_certificate(self.transport)
        self.trusted, self.unusual = settings.regard(self.peer, self.certificate)
        self.forwarded = settings.forwarded_lines(self.peer)
        self.parser = settings.parser(self.trusted)
        self.watch(time.monotonic() + settings.head_timeout)
        if self._connections.exceed(settings.connections):
            self._refused(GatewayError(Kind.TOO_MANY_CONNECTIONS))
        elif self.handler.stopping:
            # Its TLS handshake was under way when the gateway began to stop.
            self._end()

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            if self.exchange is not None:
                self._receive_more(data)
                if self.parser.rest:
                    self._advance()
            elif self._closing:
                self._lingered += len(data)
                if self._lingered > self.settings.linger_bytes:
                    self.abort()
            elif self._pauses or self._stash:
                # The client does not read its answers, or others have their turn: it gets no new ones yet.
                self._hold(data)
            else:
                head = self.parser.read_known(data)
                if head is not None:
                    self._keep = True
                    self.handler.begin(self, head, b"", True)
                else:
                    self._receive_head(data)
        except Exception as error:
            self._stumbled(error)
        finally:
            self._reading = False

    def _receive_head(self, data: bytes) -> None:
        """Bytes of a new request, perhaps all of it, and perhaps of more behind it."""
        parser = self.parser
        parser.feed(data)
        head = parser.head
        if head is not None:
            self._keep = True
            self.handler.begin(self, head, parser.take_body(), parser.complete)
            if parser.rest:
                if len(parser.rest) > PIECE:
                    self._hold(parser.rest)
                    parser.rest = b""
                self._advance()
        elif not self._head_begun:
            self._head_begun = True
            self.watch(time.monotonic() + self.settings.head_timeout)

    def _receive_more(self, data: bytes) -> None:
        """Bytes while a request is served: more of its body, or what is pipelined behind it."""
        parser = self.parser
        if parser.complete:
            self._hold(data)
        else:
            parser.feed(data)
            self.handler.request_body(self.exchange, parser.take_body(), parser.complete)

    def eof_received(self) -> bool:
        """FIN. While an answer is owed the client counts as gone, unless the listener allows half-closed clients."""
        if self.exchange is None or self._closing:
            return False
        if self.settings.half_close and self.parser.complete:
            self._eof = True
            return True
        self._lost()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()

    def pause_writing(self) -> None:
        self._pauses |= WRITE
        self._pending = pending(self.transport) if self.transport is not None else 0
        if self.exchange is not None:
            self.exchange.pause_response()

    def resume_writing(self) -> None:
        self._pauses &= ~WRITE
        if self.exchange is not None:
            self.exchange.resume_response()
        elif not self._closing:
            self._resume(PIPELINE)
            self._guarded_advance()

    def expired(self, now: float) -> None:
        """The deadline is over."""
        try:
            if self._closing and closes_quietly(self.transport):
                self.watch(now + self.settings.linger_seconds)
            elif self._closing:
                self.abort()
            elif self.exchange is not None:
                if self._pauses & WRITE and self._takes():
                    self.exchange.pause_response()
                else:
                    self.handler.expired(self.exchange, now)
            elif self.parser.begun:
                self._refused(GatewayError(Kind.REQUEST_TIMEOUT, "the request head did not arrive in time"))
            else:
                self._end()
        except Exception as error:
            self._stumbled(error)

    def _takes(self) -> bool:
        """Has the client, which reads slowly, taken some of the response since this was last asked? What the system
        holds for it may be so much that there is long no room for more."""
        before, self._pending = self._pending, pending(self.transport) if self.transport is not None else 0
        return before - self._pending >= TAKEN

    def _advance(self) -> None:
        """Serve what is parsed, and parse what is stashed, until something is missing."""
        parser, served = self.parser, 0
        while self.exchange is None and not self._closing and not self._pauses & WRITE:
            if parser.head is None:
                if parser.rest or self._stash:
                    self._feed_stash()
                    continue
                if self._eof:
                    self._end()
                elif self._head_begun:
                    self.watch(time.monotonic() + self.settings.head_timeout)
                return
            served += 1
            if served > self.settings.served_per_turn:
                # Others want their turn too.
                asyncio.get_running_loop().call_soon(self._guarded_advance)
                return
            self._keep = True
            self.handler.begin(self, parser.head, parser.take_body(), parser.complete)
            self._feed_body()

    def _feed_body(self) -> None:
        """What waits of the body of a request that has just begun."""
        while self._stash and self.exchange is not None and not self.parser.complete:
            self._receive_more(self._stash.next_piece())

    def _feed_stash(self) -> None:
        """Parse the next piece of what came before its turn."""
        parser = self.parser
        data, parser.rest = parser.rest, b""
        if not data and self._stash is not None:
            data = self._stash.next_piece()
            self._stash = self._stash or None
        parser.feed(data)
        self._head_begun = parser.head is None

    def _hold(self, data: bytes) -> None:
        """Bytes that come before their turn. Reading goes on for a while, so that a client that leaves is noticed."""
        stash = self._stash = self._stash or Stash()
        stash.add(data)
        if len(stash) > self.settings.pipeline_held:
            self._pause(PIPELINE)

    def _guarded_advance(self) -> None:
        if self._reading:
            return
        self._reading = True
        try:
            self._advance()
        except Exception as error:
            self._stumbled(error)
        finally:
            self._reading = False

    def _stumbled(self, error: Exception) -> None:
        """Refuse what the client sent, or give the connection up when the mistake is ours."""
        if isinstance(error, GatewayError):
            self._refused(error)
        else:
            log.error("a client's connection was given up", exc_info=error)
            self.break_off()

    def _refused(self, error: GatewayError) -> None:
        self.refuse_rest()
        if self.exchange is None:
            self.handler.refuse(self, error)
        else:
            self.handler.fail(self.exchange, error)

    def _lost(self) -> None:
        exchange, self.exchange = self.exchange, None
        self._forget()
        if exchange is not None:
            try:
                self.handler.client_gone(exchange)
            except Exception:
                log.exception("a client's leaving was not handled")

    def _forget(self, close: bool = True) -> None:
        transport, self.transport, self._closing = self.transport, None, True
        self.deadlines.forget(self)
        self._connections.discard(self)
        if close and transport is not None and not transport.is_closing():
            transport.close()

    def _end(self) -> None:
        """Close after all that was written; a refused client may finish its sentence first."""
        transport = self.transport
        if transport is None or self._closing:
            return
        self._closing = True
        self.parser.rest, self._stash = b"", None
        settings = self.settings
        if self._lingers or (self.parser.begun and not self.parser.complete):
            unsent = transport.get_write_buffer_size()
            self.watch(time.monotonic() + (settings.idle_timeout if unsent else settings.linger_seconds))
            if self._pauses & (PIPELINE | BODY):
                transport.resume_reading()
            finish_writing(transport)
        else:
            # A client that does not read what is still to be written is cut off after as long as it might be idle.
            self.watch(time.monotonic() + settings.closing_timeout)
            transport.close()

    def __repr__(self) -> str:
        return f"<ClientConnection {getattr(self, 'peer', '?')} {'idle' if self.exchange is None else 'active'}>"
