"""From what the user wrote about an upstream to the living one; what an edit did not touch lives on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import ceil

from gateway.config.upstream_specs import (
    Balance,
    ConcurrencySpec,
    HashBalanceSpec,
    HealthSpec,
    KeySpec,
    OutliersSpec,
    RetriesSpec,
    StickyBalanceSpec,
    UpstreamSpec,
)
from gateway.exchange import Exchange
from gateway.routing.request_key import request_key
from gateway.state.board import Seat
from gateway.telemetry.upstream_meters import UpstreamMeters
from gateway.units import status_range
from gateway.upstreams.balance.balancer import Balancer
from gateway.upstreams.balance.ewma import Ewma
from gateway.upstreams.balance.hash_ring import HashRing
from gateway.upstreams.balance.least_request import LeastRequest
from gateway.upstreams.balance.random_choice import RandomChoice
from gateway.upstreams.balance.round_robin import RoundRobin
from gateway.upstreams.balance.sticky import StickyCookie
from gateway.upstreams.concurrency import Aimd, Fixed, Gradient, Limit, Limiter, SharedLimiter
from gateway.upstreams.endpoint import Endpoint
from gateway.upstreams.health import CheckPolicy
from gateway.upstreams.outliers import OutlierPolicy, SuccessRate
from gateway.upstreams.retry import HedgePolicy, RetryPolicy, parse_conditions
from gateway.upstreams.upstream import Upstream, UpstreamTimeouts
from gateway.wire.pool import PoolLimits
from gateway.wire.upstream_tls import UpstreamTls

ALGORITHMS: dict[str, Callable[[], Balancer]] = {
    "round_robin": RoundRobin,
    "least_request": LeastRequest,
    "random": RandomChoice,
    "ewma": Ewma,
}


def make_upstream(
    name: str,
    spec: UpstreamSpec,
    endpoints: Sequence[Endpoint],
    meters: UpstreamMeters,
    *,
    rfc7239: bool,
    seat: Seat | None = None,
    before: tuple[UpstreamSpec, Upstream] | None = None,
) -> Upstream:
    """The upstream of a spec. `before` is the one of that name in service: its balancer and its limiter go on where
    their part of the spec is the same. With a `seat` a fixed limit of concurrency is that of all workers."""
    known_spec, known = before or (None, None)
    same_balance = known is not None and known_spec is not None and known_spec.balance == spec.balance
    same_limit = known is not None and known_spec is not None and known_spec.concurrency == spec.concurrency
    return Upstream(
        name,
        endpoints,
        UpstreamTimeouts(spec.timeouts.connect, spec.timeouts.response, spec.timeouts.body, spec.timeouts.total),
        host={"client": None, "upstream": ""}.get(spec.host, spec.host),
        forwarded=rfc7239,
        meters=meters,
        balance=known.balance if known is not None and same_balance else make_balancer(spec.balance, name),
        panic=float(spec.panic),
        slow_start=float(spec.slow_start or 0),
        checks=check_policy(spec.health) if spec.health is not None else None,
        outliers=_outlier_policy(spec.outliers),
        retries=retry_policy(spec.retries) if spec.retries is not None else None,
        hedge=HedgePolicy(float(spec.hedge.after), float(spec.hedge.budget)) if spec.hedge is not None else None,
        limiter=known.limiter if known is not None and same_limit else _limiter(name, spec.concurrency, seat),
    )


def pool_limits(spec: UpstreamSpec, tls: UpstreamTls | None = None) -> PoolLimits:
    """What holds for each endpoint's pool."""
    pool = spec.pool
    return PoolLimits(
        pool.max_connections,
        pool.max_queue,
        pool.queue_timeout,
        pool.idle,
        pool.max_age,
        spec.timeouts.connect,
        tls=tls,
        proxy_protocol=spec.proxy_protocol or "",
    )


def make_balancer(balance: Balance, upstream: str = "") -> Balancer:
    """The algorithm that was asked for, by the upstream of that name."""
    if isinstance(balance, HashBalanceSpec):
        return HashRing(key_of(balance.hash), balance.hash.max_load or 0)
    if isinstance(balance, StickyBalanceSpec):
        ttl = balance.sticky.ttl
        # Cookies count in whole seconds, and Max-Age=0 would take the cookie away.
        cookie = balance.sticky.cookie or f"gateway_endpoint_{upstream}"
        return StickyCookie(cookie, ceil(ttl) if ttl is not None else None)
    return ALGORITHMS[balance]()


def key_of(spec: KeySpec) -> Callable[[Exchange], str | None]:
    """What requests agree in."""
    kind, name = spec.given()[0]
    return request_key(kind, name)


def check_policy(spec: HealthSpec) -> CheckPolicy:
    """How endpoints are checked."""
    return CheckPolicy(
        kind="http" if spec.path is not None else "tcp",
        path=spec.path or "/",
        host=spec.host,
        interval=float(spec.interval),
        timeout=float(spec.timeout),
        statuses=frozenset(status for text in spec.status for status in status_range(text)),
        body=re.compile(spec.body) if spec.body is not None else None,
        passes=spec.passes,
        failures=spec.failures,
    )


def _outlier_policy(spec: OutliersSpec) -> OutlierPolicy:
    rate = spec.success_rate
    return OutlierPolicy(
        errors=spec.errors,
        connect_errors=spec.connect_errors,
        ejection=float(spec.ejection),
        max_ejection=float(spec.max_ejection),
        max_ejected=float(spec.max_ejected),
        success_rate=None
        if rate == "off"
        else SuccessRate(float(rate.interval), rate.requests, rate.endpoints, rate.deviations),
    )


def retry_policy(spec: RetriesSpec) -> RetryPolicy:
    """When a request is tried again."""
    conditions, statuses = parse_conditions(spec.on)
    return RetryPolicy(
        attempts=spec.attempts,
        conditions=conditions,
        statuses=statuses,
        per_try=float(spec.per_try) if spec.per_try is not None else None,
        non_idempotent=spec.non_idempotent,
        budget=float(spec.budget),
        min_retries=spec.min_retries,
        base=float(spec.backoff.base),
        longest=float(spec.backoff.max),
        max_retry_after=float(spec.max_retry_after),
        replay=int(spec.replay),
    )


def _limiter(upstream: str, spec: ConcurrencySpec | None, seat: Seat | None) -> Limiter | None:
    if spec is None:
        return None
    adaptive = spec.adaptive
    limit: Limit
    if adaptive is None:
        limit = Fixed(float(spec.limit or 1))
        if seat is not None:
            return SharedLimiter(limit, seat.tally(seat.marks("upstreams").of((upstream, repr(limit)))))
    elif adaptive.algorithm == "aimd":
        limit = Aimd(adaptive.start, adaptive.min, adaptive.max, float(adaptive.latency or 1))
    else:
        limit = Gradient(adaptive.start, adaptive.min, adaptive.max)
    return Limiter(limit)
