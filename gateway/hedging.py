"""Two attempts at once: a second one begins while the first is slow, and the first answer counts."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from gateway.attempt import LiveAttempt
from gateway.errors import GatewayError, Kind
from gateway.exchange import Reply
from gateway.upstreams.retry import IDEMPOTENT
from gateway.wire.deadlines import NEVER
from gateway.wire.head import ResponseHead
from gateway.wire.tunnel import UPGRADE
from gateway.wire.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    from gateway.live import LiveExchange
    from gateway.proxy import Proxy
    from gateway.upstreams.endpoint import Endpoint
    from gateway.upstreams.upstream import Upstream

log = logging.getLogger("gateway.proxy")


class HedgedAttempt(LiveAttempt):
    """An attempt at an upstream with a hedge policy.

    Mutable state: the `rival` that runs at the same time, the timer that starts it, the body that both send, the
    balancer's cookie for this endpoint, and whether it is the second one, which holds a permit of the upstream's
    hedges.
    """

    __slots__ = ("_body", "_cookie", "_second", "_timer", "rival")

    def __init__(
        self, proxy: Proxy, exchange: LiveExchange, upstream: Upstream, target: Endpoint, started: float
    ) -> None:
        super().__init__(proxy, exchange, upstream, target, started)
        self.rival: HedgedAttempt | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._body: list[bytes] | None = None
        self._second = False
        # A sticky balancer set it for this endpoint; the answer carries the winner's.
        self._cookie = exchange.cookie

    def start(self, fresh: bool) -> Reply | None:
        exchange = self.exchange
        policy = self.upstream.hedge
        apt = exchange.request_ended and exchange.method in IDEMPOTENT and not exchange.added.endswith(UPGRADE)
        if policy is not None and not self._second and apt:
            self._body = list(exchange.pending) if exchange.bytes_in or exchange.body else []
            self._timer = asyncio.get_running_loop().call_later(policy.after, self._hedge)
        return super().start(fresh)

    def _hedge(self) -> None:
        """The first one is slow: a second one, at another endpoint, if there is room for it."""
        self._timer = None
        exchange, upstream, now = self.exchange, self.upstream, monotonic()
        target = upstream.pick(exchange, now, (*exchange.tried, self.target))
        cookie, exchange.cookie = exchange.cookie, self._cookie
        if target is None or target is self.target or not upstream.hedges.take(upstream.in_flight):
            return
        if upstream.limiter is not None and not upstream.limiter.take("low"):
            upstream.hedges.give_back()
            return
        second = HedgedAttempt(self._proxy, exchange, upstream, target, now)
        second._second = True
        second._cookie = cookie
        second._body = self._body
        second.rival, self.rival = self, second
        try:
            refused = second.start(False) is not None
        except GatewayError as error:
            refused = True
            log.info("%s: no second attempt: %s", exchange.route_id, error.kind.word)
        except Exception:
            refused = True
            log.exception("a second attempt failed to start")
        if not second.over and (refused or second.queued):
            # One that has to queue helps nobody.
            second._leave_to_rival()
            second._give_up(Kind.SUPERSEDED)
            return
        upstream.meters.hedged()
        if second.connection is None:
            self._wait_again()

    def _leave_to_rival(self) -> None:
        """From now on the request is the other one's alone."""
        rival = self.rival
        assert rival is not None
        self.rival = rival.rival = None
        self.exchange.attempt = rival
        self.exchange.cookie = rival._cookie
        rival._wait_again()

    def _wait_again(self) -> None:
        """The client's deadline stands for what this attempt waits for."""
        exchange = self.exchange
        if self.queued:
            exchange.wait_until(Kind.QUEUE_TIMEOUT, self.started + self.target.pool.limits.queue_timeout)
        elif self.connection is not None or self.upstream.per_try is not None:
            exchange.wait_until(Kind.RESPONSE_TIMEOUT, self.started + self.upstream.try_timeout)
        else:
            exchange.wait(Kind.CONNECT_TIMEOUT, NEVER)

    def _give_up(self, kind: Kind) -> None:
        super().drop(kind)

    def drop(self, kind: Kind) -> None:
        """Give both up."""
        rival = self.rival
        if rival is not None:
            self.rival = rival.rival = None
            self.exchange.tried = (*self.exchange.tried, rival.target)
            rival._give_up(kind)
        super().drop(kind)

    def end(self, kind: Kind | None, now: float) -> None:
        if self.over:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._second:
            self.upstream.hedges.give_back()
        exchange = self.exchange
        permit = exchange.permit
        if exchange.attempt is not self:
            # The other one goes on, and with it the retry that both may be: it keeps the permit.
            exchange.permit = None
        super().end(kind, now)
        if exchange.attempt is not self:
            exchange.permit = permit

    def connected(self, connection: UpstreamConnection) -> None:
        if self._body:
            # The other one may have taken it already.
            self.exchange.pending = list(self._body)
        super().connected(connection)

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        rival = self.rival
        if rival is not None and head.status >= 500:
            # The other one may do better.
            self.status = head.status
            self.exchange.tried = (*self.exchange.tried, self.target)
            self._leave_to_rival()
            if not ended and self.connection is not None:
                self.connection.abort()
            self.end(None, monotonic())
            return
        if rival is not None:
            self.rival = rival.rival = None
            self.exchange.attempt = self
            self.exchange.cookie = self._cookie
            rival._give_up(Kind.SUPERSEDED)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().response(head, body, ended)

    def failed(self, error: GatewayError, stale: bool) -> None:
        if self.rival is None:
            super().failed(error, stale)
            return
        self.exchange.tried = (*self.exchange.tried, self.target)
        self._leave_to_rival()
        self.end(error.kind, monotonic())
