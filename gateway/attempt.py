"""One try at one endpoint while it runs: it takes an endpoint's capacity and gives it back, exactly once."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from gateway.errors import ANSWERS, GatewayError, Kind
from gateway.exchange import Attempt, Reply
from gateway.live import LiveExchange
from gateway.tunnelling import begin_tunnel
from gateway.upstreams.endpoint import Endpoint
from gateway.upstreams.upstream import Upstream, Verdict
from gateway.wire.deadlines import NEVER
from gateway.wire.head import ResponseHead
from gateway.wire.request_text import request_text
from gateway.wire.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    from gateway.proxy import Proxy

# What says nothing about the upstream: the client left, another attempt was faster, or none was made at all.
NOT_ITS_FAULT = frozenset([Kind.CLIENT_GONE, Kind.SUPERSEDED, Kind.BREAKER_OPEN, Kind.DEADLINE_EXCEEDED])
# How long an upstream may keep silent about `Expect: 100-continue` before the client is told to go on.
CONTINUE_AFTER = 1.0
RESPONSE_TIMEOUT = Kind.RESPONSE_TIMEOUT


class LiveAttempt(Attempt):
    """One try under way, and the receiver of what its upstream connection tells.

    Mutable state besides the noun's: the connection once there is one, `ran`, the plugins that saw its start, `settled`
    once it is known what came of it, `over` once it has ended. Where the upstream has a limiter, it holds one place of
    it until it is settled.
    """

    __slots__ = ("_proxy", "connection", "exchange", "over", "ran", "settled", "target", "upstream")

    def __init__(
        self, proxy: Proxy, exchange: LiveExchange, upstream: Upstream, target: Endpoint, started: float
    ) -> None:
        self._proxy = proxy
        self.upstream = upstream
        self.started = started
        self._begin(exchange, target)
        self.seconds = self.waited = 0.0
        self.status = self.error = None
        self.connection: UpstreamConnection | None = None
        self.ran = 0
        self.over = self.settled = False

    def _begin(self, exchange: LiveExchange, target: Endpoint) -> None:
        """Count at both. The compiler is told their types, which it cannot be in a constructor."""
        self.exchange: LiveExchange = exchange
        exchange.attempts = self.number = exchange.attempts + 1
        exchange.attempt = self
        self.target = target
        self.endpoint = target.address
        target.in_flight += 1
        target.requests += 1

    def start(self, fresh: bool) -> Reply | None:
        """The plugins' `on_attempt`, then a connection, now or later. `fresh` asks for a new one."""
        exchange = self.exchange
        chain = exchange.chain
        for step in chain.attempts:
            self.ran = step.place + 1
            reply: Reply | None = step.call(exchange, self)
            if reply is not None:
                return reply
        self.ran = len(chain.plugins)
        pool = self.target.pool
        connection = pool.take(self, self.started, fresh)
        if connection is not None:
            self.connected(connection)
        elif pool.waits(self):
            exchange.wait(Kind.QUEUE_TIMEOUT, pool.limits.queue_timeout)
        elif self.upstream.per_try is not None:
            exchange.wait_until(RESPONSE_TIMEOUT, self.started + self.upstream.per_try)
        else:
            # The pool itself limits the time to connect.
            exchange.wait(Kind.CONNECT_TIMEOUT, NEVER)
        return None

    @property
    def queued(self) -> bool:
        """Does it wait in its pool's queue?"""
        return not self.over and self.target.pool.waits(self)

    def end(self, kind: Kind | None, now: float) -> None:
        """Give back what it took. A second call does nothing."""
        if self.over:
            return
        self.over = True
        self.target.in_flight -= 1
        if not self.settled:
            self.settle(kind, now)
        # Point at nothing any more, so that no cycle is left behind.
        self.connection = None
        del self.exchange

    def settle(self, kind: Kind | None, now: float) -> None:
        """It is known what came of it: tell everybody who asks. For a tunnel that is when it opens."""
        self.settled = True
        exchange, target, upstream = self.exchange, self.target, self.upstream
        self.seconds = seconds = now - self.started
        exchange.upstream_seconds += seconds
        status = self.status or 0
        if kind is None and 0 < status < 500:
            upstream.meters.attempted(status, seconds)
            if target.failures:
                target.failures = target.refusals = 0
            verdict: Verdict = "good"
        else:
            verdict = self._failed(kind, status, now)
        for observe in upstream.observers:
            observe(target, self.waited or seconds, now, verdict)
        if exchange.permit is not None:
            exchange.give_back()
        if exchange.chain.attempt_ends:
            exchange.chain.run_attempt_ends(exchange, self, self.ran)

    def _failed(self, kind: Kind | None, status: int, now: float) -> Verdict:
        """Count it against the upstream and the endpoint, unless it says nothing about them."""
        if kind is not None:
            self.error = kind.word
            if kind in NOT_ITS_FAULT:
                return "nothing"
        elif not status:
            # A plugin answered in its place.
            return "nothing"
        self.upstream.meters.attempted(status, self.seconds)
        if kind is not None and ANSWERS[kind].side != "upstream":
            return "nothing"
        condition = "" if kind is None else ANSWERS[kind].condition
        self.upstream.failed(self.target, now, condition)
        if condition == "full":
            return "nothing"
        return "bad" if kind is None and status != 503 else "overloaded"

    def drop(self, kind: Kind) -> None:
        """Give it up: its connection is closed, or its wait for one is over."""
        if self.over:
            return
        if self.connection is not None:
            self.connection.abort()
        else:
            self.target.pool.cancel(self)
        self.end(kind, monotonic())

    # its upstream connection calls these

    def connected(self, connection: UpstreamConnection) -> None:
        """The connection is there: send the head, and what there is of the body."""
        self.connection = connection
        exchange = self.exchange
        upstream = self.upstream
        head = exchange.headers
        ended = exchange.request_ended
        body = b""
        # A plugin may have put a body where the client sent none.
        if exchange.bytes_in or exchange.body:
            body = b"".join(exchange.pending)
            exchange.pending.clear()
        if ended and len(body) <= upstream.replay_limit:
            # Nothing is lost by keeping a small whole body a little longer.
            exchange.replay = body
        else:
            self._keep(body)
        added = exchange.added
        if exchange.total_at != NEVER:
            added += b"X-Request-Deadline-Ms: %d\r\n" % max(0.0, (exchange.total_at - monotonic()) * 1000)
        host = self.target.authority
        text = request_text(head, exchange.target, upstream.host, host, added, body, ended, head.chunked)
        connection.send(text, ended, head.chunked, head.method == "HEAD")
        if ended:
            exchange.wait_until(RESPONSE_TIMEOUT, self.started + upstream.try_timeout)
        elif not exchange.upstream_congested:
            exchange.client.resume_reading()
            if head.block.expects_continue and not exchange.continued and not exchange.bytes_in:
                exchange.wait(Kind.EXPECTATION_FAILED, CONTINUE_AFTER)
            else:
                exchange.wait(Kind.REQUEST_TIMEOUT, exchange.client.settings.body_timeout)

    def _keep(self, body: bytes) -> None:
        """The body is not all here, or long: keep it only where another attempt may need it."""
        exchange = self.exchange
        policy = self.upstream.retries
        if exchange.chain.resends or (policy is not None and policy.repeats(exchange.method, exchange.headers)):
            exchange.replay = bytearray()
            exchange.keep(body, self.upstream.replay_limit)
        else:
            exchange.replay = None
            exchange.spent = True

    def interim(self, head: ResponseHead) -> None:
        """A 1xx head goes to the client; a 100 only if it waits for one."""
        exchange = self.exchange
        if head.status == 100:
            if not exchange.headers.block.expects_continue or exchange.continued or exchange.request_ended:
                return
            exchange.continued = True
            exchange.wait(Kind.REQUEST_TIMEOUT, exchange.client.settings.body_timeout)
        exchange.client.send_interim(head.status, head.text())

    def upgraded(self, head: ResponseHead, body: bytes) -> None:
        begin_tunnel(self._proxy, self.exchange, self, head, body)

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        if ended:
            # It is back in the pool, and perhaps in use again.
            self.connection = None
        self._proxy.response(self.exchange, self, head, body, ended)

    def response_body(self, body: bytes, ended: bool) -> None:
        if ended:
            self.connection = None
        self._proxy.response_body(self.exchange, self, body, ended)

    def failed(self, error: GatewayError, stale: bool) -> None:
        self._proxy.failed(self.exchange, self, error, stale)

    def pause_sending(self) -> None:
        exchange = self.exchange
        exchange.upstream_congested = True
        exchange.client.pause_reading()
        if not exchange.responding:
            # The client waits for the upstream now, so this is the upstream's time.
            exchange.wait(Kind.BODY_TIMEOUT, self.upstream.timeouts.body)

    def resume_sending(self) -> None:
        exchange = self.exchange
        exchange.upstream_congested = False
        exchange.client.resume_reading()
        if not exchange.responding and not exchange.request_ended:
            exchange.wait(Kind.REQUEST_TIMEOUT, exchange.client.settings.body_timeout)
