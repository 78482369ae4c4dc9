"""Copies of requests for a second upstream, whose answers nobody reads: they never hold up the request itself."""

from __future__ import annotations

import asyncio
import logging
import random
from time import monotonic
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, Kind
from gateway.live import LiveExchange
from gateway.routing.actions import Mirror
from gateway.wire.head import ResponseHead
from gateway.wire.request_text import request_text
from gateway.wire.tunnel import UPGRADE
from gateway.wire.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    from gateway.upstreams.endpoint import Endpoint

log = logging.getLogger("gateway.proxy")


def mirror(exchange: LiveExchange, policy: Mirror) -> None:
    """Copy this request, if chance will have it: now, or when its body is all here."""
    if policy.share < 1.0 and random.random() >= policy.share:
        return
    copy = MirrorCopy(exchange, policy)
    if exchange.request_ended:
        copy.feed(b"".join(exchange.pending) if exchange.bytes_in or exchange.body else b"", True)
    else:
        exchange.mirror = copy
        copy.feed(b"".join(exchange.pending), False)


class MirrorCopy:
    """A copy on its way, and the receiver of its answer.

    Mutable state: the body until it is sent or dropped, then endpoint, connection and timer until its answer is all
    here. While it has its endpoint it takes a place of the upstream's limiter, where there is one.
    """

    __slots__ = (
        "_added",
        "_body",
        "_bodyless",
        "_chunked",
        "_connection",
        "_endpoint",
        "_gathers",
        "_head",
        "_limit",
        "_picked",
        "_started",
        "_status",
        "_target",
        "_text",
        "_timer",
        "_upstream",
    )

    def __init__(self, exchange: LiveExchange, policy: Mirror) -> None:
        self._gathers = True
        self._target = exchange.target
        # Nobody would speak through a WebSocket of its own.
        self._added = exchange.added.removesuffix(UPGRADE)
        # By the time its body is here, attempts may have changed the head for their own upstream.
        self._head = exchange.headers.copy()
        self._upstream = exchange.table.upstreams[policy.upstream]
        # The client hears nothing of a mirror, nor of where a sticky one keeps it.
        cookie = exchange.cookie
        self._picked = self._upstream.pick(exchange, monotonic())
        exchange.cookie = cookie
        self._limit = policy.body
        self._body: list[bytes] = []
        self._connection: UpstreamConnection | None = None
        self._endpoint: Endpoint | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._status = 0

    def feed(self, body: bytes, ended: bool) -> None:
        """More of the request's body. With the last of it the copy is sent, or dropped where there is no room."""
        if not self._gathers:
            return
        self._limit -= len(body)
        if self._limit < 0:
            self._drop()
            return
        self._body.append(body)
        if ended:
            try:
                self._send()
            except Exception as error:
                if not isinstance(error, GatewayError):
                    log.exception("a request was not mirrored")
                self._drop()

    def _send(self) -> None:
        upstream, endpoint, now = self._upstream, self._picked, monotonic()
        if endpoint is None:
            raise GatewayError(Kind.NO_ENDPOINT)
        head, body = self._head, b"".join(self._body)
        self._text = request_text(
            head, self._target, upstream.host, endpoint.authority, self._added, body, True, head.chunked
        )
        self._bodyless = head.method == "HEAD"
        self._chunked = head.chunked
        if upstream.limiter is not None and not upstream.limiter.take("low"):
            raise GatewayError(Kind.OVERLOADED)
        self._gathers = False
        self._body.clear()
        self._endpoint = endpoint
        self._started = now
        endpoint.in_flight += 1
        endpoint.requests += 1
        self._timer = asyncio.get_running_loop().call_later(upstream.timeouts.response, self._late)
        pool = endpoint.pool
        connection = pool.take(self, now)
        if connection is not None:
            self.connected(connection)
        elif pool.waits(self):
            # Whoever has to queue shall be a client.
            self._drop()

    def _drop(self) -> None:
        """It is not sent, or its answer not waited for."""
        self._upstream.meters.mirrored("dropped")
        self._end(Kind.OVERLOADED)

    def _late(self) -> None:
        self._timer = None
        self._end(Kind.RESPONSE_TIMEOUT)

    def _end(self, kind: Kind | None) -> None:
        """Give back what it took. A second call does nothing."""
        self._gathers = False
        self._body.clear()
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        else:
            endpoint.pool.cancel(self)
        endpoint.in_flight -= 1
        if self._upstream.limiter is not None:
            self._upstream.limiter.give_back(0.0, None)
        if kind is not Kind.OVERLOADED:
            self._upstream.meters.attempted(self._status, monotonic() - self._started)

    def connected(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.send(self._text, True, self._chunked, self._bodyless)
        self._upstream.meters.mirrored("sent")

    def interim(self, head: ResponseHead) -> None:
        pass

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self._status = head.status
        self.response_body(body, ended)

    def response_body(self, body: bytes, ended: bool) -> None:
        if ended:
            self._connection = None
            self._end(None)

    def failed(self, error: GatewayError, stale: bool) -> None:
        self._connection = None
        self._end(error.kind)

    def pause_sending(self) -> None:
        pass

    def resume_sending(self) -> None:
        pass
