"""Calls that the gateway itself makes to its upstreams, for plugins: balanced and pooled like those of clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any, Protocol

from gateway.errors import Condition, GatewayError, Kind
from gateway.plugin import UpstreamReply
from gateway.table import RouteTable
from gateway.upstreams.endpoint import Endpoint
from gateway.upstreams.retry import IDEMPOTENT
from gateway.upstreams.upstream import Upstream
from gateway.wire.fields import FIELD_KEYS, TOKEN, checked_field, field_line, is_plain
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
        now = monotonic()
        endpoint = upstream.pick(None, now)
        if endpoint is None:
            raise GatewayError(Kind.NO_ENDPOINT, cause=f"{self._name} has no endpoint that is available")
        text = request_bytes(method, path, headers or {}, body, upstream, endpoint)
        call = _Call(upstream, endpoint, method, text, max_body)
        try:
            call.begin(now, timeout)
            return await call.reply
        finally:
            call.end()
            # It holds the error, whose traceback holds this frame.
            del call


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
        if name in FIELD_KEYS and is_plain(value):
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
    """Receives one answer whole, as `reply`. Mutable state: the connection, what has come of the answer, whether more
    may come, what the upstream's breakers and figures are told, and `_again`, the endpoint to ask once more when a
    kept connection turns out to be dead."""

    __slots__ = (
        "_again", "_bodyless", "_condition", "_connection", "_endpoint", "_head", "_max_body", "_over", "_pieces",
        "_request", "_size", "_started", "_status", "_timer", "_upstream", "reply",
    )  # fmt: skip

    def __init__(self, upstream: Upstream, endpoint: Endpoint, method: str, request: bytes, max_body: int) -> None:
        self._upstream = upstream
        self._endpoint = endpoint
        self._request = request
        self._bodyless = method == "HEAD"
        self._max_body = max_body
        self._again = endpoint if method in IDEMPOTENT else None
        self._over = False
        self._connection: UpstreamConnection | None = None
        self._head: ResponseHead | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._status = 0
        self._condition: Condition | None = None

    def begin(self, now: float, timeout: float) -> None:
        """Send it, as soon as there is a connection."""
        loop = asyncio.get_running_loop()
        self.reply: asyncio.Future[UpstreamReply] = loop.create_future()
        self._started = now
        self._timer = loop.call_later(timeout, self._expired, timeout)
        endpoint = self._endpoint
        endpoint.in_flight += 1
        endpoint.requests += 1
        try:
            connection = endpoint.pool.take(self, now)
        except GatewayError as full:
            self._fail(full)
        else:
            if connection is not None:
                self.connected(connection)

    def end(self) -> None:
        """It is over, or the caller waits no more: count it."""
        self._timer.cancel()
        upstream, endpoint = self._upstream, self._endpoint
        if self._connection is not None:
            self._connection.abort()
        elif not self._over:
            endpoint.pool.cancel(self)
        endpoint.in_flight -= 1
        now = monotonic()
        status = self._status
        upstream.meters.attempted(status, now - self._started)
        if self._condition is not None or status >= 500:
            upstream.failed(endpoint, now, self._condition or "")
        elif status:
            endpoint.failures = endpoint.refusals = 0

    def _expired(self, seconds: float) -> None:
        """The caller's patience is at its end."""
        self._fail(GatewayError(Kind.RESPONSE_TIMEOUT, cause=f"{self._upstream.name} did not answer in {seconds:g} s"))

    def _fail(self, error: GatewayError) -> None:
        if not self.reply.done():
            self._condition = error.answer.condition
            self.reply.set_exception(error)

    def connected(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.send(self._request, True, False, self._bodyless)

    def interim(self, head: ResponseHead) -> None:
        pass

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self._head = head
        self.response_body(body, ended)

    def response_body(self, body: bytes, ended: bool) -> None:
        self._pieces.append(body)
        self._size += len(body)
        if self._size > self._max_body:
            if not ended and self._connection is not None:
                self._connection.abort()
            self._connection = None
            self.failed(GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE), False)
        elif ended and self._head is not None:
            self._connection = None
            self._over = True
            if not self.reply.done():
                head = self._head
                self._status = head.status
                cookies = tuple(head.get_all("set-cookie"))
                whole = b"".join(self._pieces)
                self.reply.set_result(UpstreamReply(head.status, MergedFields(head), whole, cookies))

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
        self._fail(error)

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
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        values = self._head.get_all(name) if name == name.lower() else []
        return ", ".join(values) if values else default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._head.items()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr(dict(self))
