"""Calls that the gateway itself makes to its upstreams, for plugins: balanced and pooled like those of clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Protocol

from gateway.errors import Condition, GatewayError, Kind
from gateway.plugin import UpstreamReply
from gateway.table import RouteTable
from gateway.upstreams.endpoint import Endpoint
from gateway.upstreams.retry import IDEMPOTENT
from gateway.upstreams.upstream import Upstream
from gateway.wire.fields import FIELD_KEYS, TOKEN, checked_field, field_line
from gateway.wire.head import ResponseHead
from gateway.wire.upstream_connection import UpstreamConnection


class HasTable(Protocol):
    """Knows the table in service."""

    table: RouteTable


class UpstreamCaller:
    """Calls one upstream by name, whichever table is in service at the time of a call."""

    def __init__(self, owner: HasTable, name: str) -> None:
        self._owner = owner
        self._name = name

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 5.0,  # noqa: ASYNC109 - the contract names it so
        max_body: int = 1 << 20,
    ) -> UpstreamReply:
        """One call. `path` is raw, with its query; `timeout` in seconds covers all of it, `max_body` in bytes the
        answer's body. LookupError for an unknown upstream, GatewayError for everything that is not an answer."""
        table = self._owner.table
        upstream = table.upstreams.get(self._name)
        if upstream is None:
            raise LookupError(f"no upstream {self._name!r} in this configuration")
        started = monotonic()
        endpoint = upstream.pick(None, started)
        if endpoint is None:
            raise GatewayError(Kind.NO_ENDPOINT, cause=f"{self._name} has no endpoint that is available")
        text = request_bytes(method, path, headers or {}, body, upstream, endpoint)
        call = _Call(text, method == "HEAD", max_body, endpoint if method in IDEMPOTENT else None)
        timer = asyncio.get_running_loop().call_later(timeout, call.expired, self._name, timeout)
        status = 0
        condition: Condition | None = None
        endpoint.in_flight += 1
        endpoint.requests += 1
        try:
            connection = endpoint.pool.take(call, started)
            if connection is not None:
                call.connected(connection)
            reply = await call.reply
            status = reply.status
            return reply
        except GatewayError as error:
            condition = error.answer.condition
            raise
        finally:
            timer.cancel()
            call.give_up(endpoint)
            # It holds the error, whose traceback holds this frame.
            del call
            endpoint.in_flight -= 1
            now = monotonic()
            upstream.meters.attempted(status, now - started)
            if condition is not None or status >= 500:
                upstream.failed(endpoint, now, condition or "")
            elif status:
                endpoint.failures = endpoint.refusals = 0


def request_bytes(
    method: str, path: str, headers: Mapping[str, str], body: bytes, upstream: Upstream, endpoint: Endpoint
) -> bytes:
    """The whole request. ValueError for a header, method or path that HTTP does not allow."""
    plain = path.startswith("/") and path.isascii() and path.isprintable() and " " not in path
    if not plain or not TOKEN.fullmatch(method.encode()):
        raise ValueError(f"not a request line: {method} {path}")
    host = b"Host: %b\r\n" % (upstream.host or endpoint.authority).encode("latin-1")
    lines = []
    for name, value in headers.items():
        if name in FIELD_KEYS and value.isascii() and value.isprintable():
            lines.append(f"{name}: {value}\r\n".encode())
            continue
        key = name.lower()
        if key == "host":
            host = b"%b: %b\r\n" % checked_field(name, value)
        elif key not in ("content-length", "transfer-encoding"):
            lines.append(field_line(name, value))
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Length: %d\r\n" % len(body))
    return b"".join([f"{method} {path} HTTP/1.1\r\n".encode(), host, *lines, b"\r\n", body])


class _Call:
    """Receives one answer whole. Mutable state: the connection, what has come of the answer, whether more may come, and
    `_again`, the endpoint to ask once more when a kept connection turns out to be dead."""

    def __init__(self, request: bytes, bodyless: bool, max_body: int, again: Endpoint | None = None) -> None:
        self.reply: asyncio.Future[UpstreamReply] = asyncio.get_running_loop().create_future()
        self._request = request
        self._bodyless = bodyless
        self._max_body = max_body
        self._again = again
        self._over = False
        self._connection: UpstreamConnection | None = None
        self._head: ResponseHead | None = None
        self._body = bytearray()

    def give_up(self, endpoint: Endpoint) -> None:
        """The caller waits no more."""
        if self._connection is not None:
            self._connection.abort()
        elif not self._over:
            endpoint.pool.cancel(self)

    def expired(self, name: str, seconds: float) -> None:
        """The caller's patience is at its end."""
        if not self.reply.done():
            cause = f"{name} did not answer in {seconds:g} s"
            self.reply.set_exception(GatewayError(Kind.RESPONSE_TIMEOUT, cause=cause))

    def connected(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.send(self._request, True, False, self._bodyless)

    def interim(self, head: ResponseHead) -> None:
        pass

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self._head = head
        self.response_body(body, ended)

    def response_body(self, body: bytes, ended: bool) -> None:
        self._body += body
        if len(self._body) > self._max_body:
            if not ended and self._connection is not None:
                self._connection.abort()
            self._connection = None
            self.failed(GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE), False)
        elif ended and self._head is not None:
            self._connection = None
            self._over = True
            if not self.reply.done():
                head = self._head
                cookies = tuple(head.get_all("set-cookie"))
                self.reply.set_result(UpstreamReply(head.status, MergedFields(head), bytes(self._body), cookies))

    def failed(self, error: GatewayError, stale: bool) -> None:
        self._connection = None
        again, self._again = self._again, None
        if stale and again is not None and not self.reply.done():
            try:
                again.pool.take(self, monotonic(), fresh=True)
            except GatewayError as full:
                error = full
            else:
                return
        self._over = True
        if not self.reply.done():
            self.reply.set_exception(error)

    def pause_sending(self) -> None:
        pass

    def resume_sending(self) -> None:
        pass


class MergedFields(Mapping[str, str]):
    """The header fields by lower-case name; several of one name are joined (RFC 9110 §5.3). Worked out when asked for:
    who calls mostly reads one or two."""

    __slots__ = ("_head",)

    def __init__(self, head: ResponseHead) -> None:
        self._head = head

    def __getitem__(self, name: str) -> str:
        values = self._head.get_all(name) if name == name.lower() else []
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._head.items()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr(dict(self))
