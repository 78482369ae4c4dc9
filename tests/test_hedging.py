"""When a second attempt begins, and what it takes; races of both are in tests/integration/test_hedging.py."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.errors import GatewayError, Kind
from gateway.hedging import HedgedAttempt
from gateway.live import LiveExchange
from gateway.table import RouteTable
from gateway.upstreams.concurrency import Fixed, Limiter
from gateway.upstreams.retry import HedgePolicy
from gateway.upstreams.upstream import Upstream
from gateway.wire.client_settings import ClientSettings
from gateway.wire.client_stream import ClientStream
from gateway.wire.head import RequestBlock, RequestHead
from gateway.wire.pool import Pool, PoolLimits
from gateway.wire.shapes import request_policy
from gateway.wire.tunnel import UPGRADE
from tests.support.gateways import make_upstream


class Waiting(Pool):
    """A pool whose connections never come."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.host, pool.port, pool.limits)
        self.cancelled = 0

    def take(self, *arguments: Any) -> None:
        """Later."""

    def waits(self, attempt: object) -> bool:
        return False

    def cancel(self, attempt: object) -> None:
        self.cancelled += 1


class Race:
    """An exchange with its first attempt, at an upstream that hedges after a minute."""

    def __init__(
        self, endpoints: int, method: str = "GET", ended: bool = True, limit: int = 9, added: bytes = b""
    ) -> None:
        limiter = Limiter(Fixed(limit))
        ports = range(1, endpoints + 1)
        self.upstream: Upstream = make_upstream("up", *ports, hedge=HedgePolicy(60.0, budget=0.0), limiter=limiter)
        for endpoint in self.upstream.endpoints:
            endpoint.pool = Waiting(endpoint.pool)
        policy = request_policy(False)
        head = RequestHead(RequestBlock(policy.shape(()), [], "1.1"), method, "/", "1.1")
        settings = ClientSettings(policy, policy)
        client = ClientStream(settings)
        client.check_at = 0.0
        self.exchange: Any = LiveExchange(client, head, "/", "", RouteTable.empty(), ended)
        self.exchange.pending = []
        self.exchange.added = added
        self.limiter = limiter
        proxy: Any = None
        assert limiter.take("normal")
        target = self.upstream.endpoints[0]
        self.first = HedgedAttempt(proxy, self.exchange, self.upstream, target, time.monotonic())
        self.first.start(False)

    @property
    def taken(self) -> tuple[int, int, int]:
        """Attempts under way, permits for second ones, places."""
        return self.upstream.in_flight, self.upstream.hedges.taken, self.limiter.in_flight


@pytest.mark.parametrize(
    ("method", "ended", "armed"),
    [("GET", True, True), ("PUT", True, True), ("GET", False, False), ("POST", True, False)],
)
async def test_only_what_may_be_repeated_and_is_all_here_is_hedged(method: str, ended: bool, armed: bool) -> None:
    race = Race(2, method, ended)
    timer = race.first._timer
    assert (timer is not None) == armed
    race.first.end(None, time.monotonic())
    assert timer is None or timer.cancelled()
    assert race.taken == (0, 0, 0)


async def test_nobody_asks_for_two_tunnels() -> None:
    race = Race(2, added=b"Via: 1.1 a\r\n" + UPGRADE)
    assert race.first._timer is None
    race.first.end(None, time.monotonic())


async def test_both_give_back_what_they_took() -> None:
    race = Race(2)
    race.first._hedge()
    second: Any = race.exchange.attempt
    assert race.first.rival is second
    assert second is not race.first
    assert second.rival is race.first
    assert {second.target, race.first.target} == set(race.upstream.endpoints)
    assert race.taken == (2, 1, 2)
    second.drop(Kind.CLIENT_GONE)
    assert race.taken == (0, 0, 0)
    assert [second.error, race.first.error] == ["client_gone"] * 2


@pytest.mark.parametrize(("endpoints", "limit"), [(1, 9), (2, 1)])
async def test_no_second_attempt_where_there_is_no_room(endpoints: int, limit: int) -> None:
    race = Race(endpoints, limit=limit)
    race.first._hedge()
    assert (race.exchange.attempt, race.first.rival) == (race.first, None)
    assert race.taken == (1, 0, 1)
    race.first.end(None, time.monotonic())


@pytest.mark.parametrize(
    ("queued", "per_try", "expected"),
    [(True, None, Kind.QUEUE_TIMEOUT), (False, None, Kind.CONNECT_TIMEOUT), (False, 5.0, Kind.RESPONSE_TIMEOUT)],
)
async def test_who_is_left_waits_for_what_it_waited_for(queued: bool, per_try: float | None, expected: Kind) -> None:
    race = Race(2)
    race.upstream.per_try = per_try
    first_pool: Any = race.upstream.endpoints[0].pool
    first_pool.waits = lambda attempt: queued
    first_pool.limits = PoolLimits(queue_timeout=7.0)
    race.first._hedge()
    assert race.exchange.waiting is expected, "a second attempt changes nothing for the first"
    race.exchange.attempt.failed(GatewayError(Kind.CONNECT_FAILED), False)
    assert (race.exchange.attempt, race.first.rival) == (race.first, None)
    assert race.exchange.waiting is expected
    assert race.exchange.tried == (race.upstream.endpoints[1],), "a retry asks another one"
    race.first.drop(Kind.CLIENT_GONE)
    assert race.taken == (0, 0, 0)


async def test_retrys_permit_stays_until_both_are_over() -> None:
    race = Race(2)
    assert race.upstream.budget.take(1)
    race.exchange.permit = race.upstream.budget
    race.first._hedge()
    second: Any = race.exchange.attempt
    second.failed(GatewayError(Kind.UPSTREAM_RESET), False)
    assert race.exchange.permit is race.upstream.budget
    race.first.drop(Kind.CLIENT_GONE)
    assert race.exchange.permit is None
