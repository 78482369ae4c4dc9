"""An exchange while it runs: the noun, with the stream on the client's side."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from gateway.chain import Chain
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange
from gateway.routing.actions import Action, Forward
from gateway.routing.route import Route
from gateway.table import RouteTable
from gateway.upstreams.upstream import Upstream
from gateway.wire.client_connection import ClientConnection
from gateway.wire.deadlines import NEVER
from gateway.wire.head import RequestHead, ResponseHead
from gateway.wire.request_text import forwarded_lines

if TYPE_CHECKING:
    from gateway.attempt import LiveAttempt

NOTHING: Mapping[str, str] = {}


class LiveExchange(Exchange):
    """One request under way.

    `pending` holds body bytes that wait for a connection, `replay` a small whole body until the answer begins,
    `held` the head of an answer that is collected. `waiting` is what the client's deadline stands for, `total_at` the
    end of all time for this request. `ran` counts the plugins that had their turn.
    """

    __slots__ = (
        "_captures",
        "added",
        "chain",
        "client",
        "collecting",
        "continued",
        "crashed",
        "held",
        "matched",
        "over",
        "pending",
        "ran",
        "replay",
        "request_ended",
        "responding",
        "table",
        "task",
        "total_at",
        "upstream_congested",
        "waiting",
    )

    headers: RequestHead
    attempt: LiveAttempt | None

    def __init__(
        self, client: ClientConnection, head: RequestHead, path: str, query: str, table: RouteTable, ended: bool
    ) -> None:
        """`ended`: the whole request is here."""
        # Written out, and not by Exchange.__init__: this runs for every request, and half of it would be set twice.
        self.client = client
        self.table = table
        self.chain: Chain = table.chain
        self.headers = head
        self.method = head.method
        self.raw_path = path
        self.query = query
        self.client_ip = client.peer
        self.started = monotonic()
        self.route = "-"
        self.matched: Route | None = None
        self.upstream = self.target = self.trace_id = self.span_id = self.outcome = ""
        self.flag = "-"
        self.principal = self.claims = self.body = self.attempt = self._path = self._request_id = None
        self._state = self._captures = self.replay = self.held = self.task = self.waiting = None
        self.status = self.bytes_in = self.bytes_out = self.attempts = 0
        # Until the route's plugins have their turn, the top-level ones, which come first in every chain, see the end.
        self.ran = len(table.chain.plugins)
        self.upstream_seconds = 0.0
        self.total_at = NEVER
        self.collecting = self.continued = self.crashed = self.responding = self.over = False
        self.upstream_congested = False
        self.request_ended = ended

    if TYPE_CHECKING:
        added: bytes
        pending: list[bytes]
        replay: bytes | None
        held: ResponseHead | None
        task: asyncio.Task[Any] | None
        waiting: Kind | None
        _captures: Mapping[str, str] | None
    else:

        @property
        def captures(self) -> Mapping[str, str]:
            """What the route's path captured, raw."""
            captured = self._captures
            if captured is None:
                route = self.matched
                captured = route.pattern.capture(self.raw_path) if route is not None and route.captures else NOTHING
                self._captures = captured
            return captured

        @property
        def host(self) -> str:
            """The Host as sent."""
            return self.headers.block.host

        @property
        def version(self) -> str:
            """The client's HTTP version."""
            return self.headers.version

        @property
        def scheme(self) -> str:
            """How the client came."""
            return self.client.settings.scheme

        @property
        def peer_trusted(self) -> bool:
            """Is the peer one of the trusted proxies?"""
            return self.client.trusted

        @property
        def upstream_names(self) -> Container[str]:
            """The upstreams of the configuration that serves this request."""
            return self.table.upstreams

    @property
    def action(self) -> Action | None:
        """What the route does, None without a route."""
        return self.matched.action if self.matched is not None else None

    def collect(self, limit: int) -> bool:
        """Plugins read the whole body first: is it all here? GatewayError when it is longer than `limit` bytes."""
        client = self.client
        if self.bytes_in > limit:
            client.refuse_rest()
            raise GatewayError(Kind.BODY_TOO_LARGE, f"the body is limited to {limit} bytes")
        if self.request_ended:
            self.collecting = False
            self.body = b"".join(self.pending) if self.bytes_in else b""
            return True
        if not self.collecting:
            self.collecting = True
            if self.headers.block.expects_continue:
                self.continued = True
                client.send_interim(100)
        self.wait(Kind.REQUEST_TIMEOUT, client.settings.body_timeout)
        return False

    def prepare(self, action: Forward, upstream: Upstream) -> None:
        """Settle what goes upstream, whichever endpoint it will be, and until when."""
        head = self.headers
        rewrite = action.rewrite
        if rewrite is not None and rewrite.headers is not None:
            rewrite.headers.apply(head)
        if not self.target:
            if rewrite is None:
                self.target = head.target
            else:
                self.target = rewrite.target(self.raw_path, self.query, self.captures)
        if self.body is not None:
            self.pending = [self.body]
            head.chunked = False
            head.set_length(len(self.body))
            head.drop(b"expect")
        total = upstream.timeouts.total
        if total is not None:
            self.total_at = self.started + total
        self.added = forwarded_lines(self.client, head, upstream.forwarded) + self.table.via

    def pause_response(self) -> None:
        """The client reads slowly: so do we, and for as long as it might be idle."""
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None:
            attempt.connection.pause_reading()
        self.wait(Kind.CLIENT_GONE, self.client.settings.idle_timeout)

    def resume_response(self) -> None:
        """The client reads again."""
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None:
            attempt.connection.resume_reading()
            self.wait(Kind.BODY_TIMEOUT, attempt.upstream.timeouts.body)

    def wait(self, kind: Kind | None, seconds: float) -> None:
        """From now on the client's deadline stands for `kind`, in `seconds` or when the total is over."""
        self.wait_until(kind, monotonic() + seconds)

    def wait_until(self, kind: Kind | None, deadline: float) -> None:
        """The same, at a monotonic time."""
        self.waiting = kind
        client = self.client
        if deadline > self.total_at:
            deadline = self.total_at
        client.deadline = deadline
        if deadline < client.check_at:
            client.watch(deadline)

    def overdue(self, now: float) -> Kind | None:
        """What the deadline that has just passed means; None when it means nothing (any more)."""
        if self.total_at <= now:
            return Kind.TOTAL_TIMEOUT
        attempt = self.attempt
        if self.waiting is Kind.QUEUE_TIMEOUT and not (attempt is not None and attempt.queued):
            # It has left the queue: the pool itself limits the time to connect.
            return None
        return self.waiting
