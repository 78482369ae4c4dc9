"""An upstream, alive: its endpoints, which of them is next, and what it allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gateway.errors import Condition
from gateway.exchange import Exchange
from gateway.upstreams.balance.balancer import Balancer
from gateway.upstreams.balance.round_robin import RoundRobin
from gateway.upstreams.balance.slow_start import warmed_weight
from gateway.upstreams.concurrency import Limiter
from gateway.upstreams.endpoint import Changes, Endpoint
from gateway.upstreams.outliers import OutlierPolicy, Outliers, due_first
from gateway.upstreams.retry import HedgePolicy, RetryBudget, RetryPolicy

if TYPE_CHECKING:
    from gateway.upstreams.health import CheckPolicy

NEVER = float("inf")
# Weights of endpoints that warm up are worked out anew so often.
WARMING_STEP = 0.5
# Bodies up to here are kept until the head of the answer, in case a reused connection turns out to be dead.
REPLAY_LIMIT = 64 * 1024

# To a balancer that goes by latency, a failure is at least as bad as so slow an answer.
FAILURE_SECONDS = 1.0

# What an attempt says of its endpoint; an answer of 5xx is bad, and no sign of too much work unless it is 503.
Verdict = Literal["good", "bad", "overloaded", "nothing"]
# Endpoint, seconds until the head or the failure, now, and the verdict.
Observer = Callable[[Endpoint, float, float, Verdict], None]


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """Seconds. `response` is until the head, `body` between slices, `total` for the whole exchange or None."""

    connect: float = 1.0
    response: float = 30.0
    body: float = 30.0
    total: float | None = None


class Upstream:
    """One configured upstream. `host` is the Host field to send: None for the client's own, "" for the endpoint's.

    `panic` is a share: with fewer of the endpoints available, all that are enabled get requests. `slow_start` is in
    seconds, 0 for none. Mutable state: the endpoints that may be chosen now, until when that holds, and the balancer,
    limiter and budgets. The rest is one configuration's. `_spare` are available endpoints of later priorities.
    """

    __slots__ = (
        "_choices",
        "_review_at",
        "_seen",
        "_spare",
        "balance",
        "budget",
        "changes",
        "checks",
        "endpoints",
        "forwarded",
        "hedge",
        "hedges",
        "host",
        "limiter",
        "meters",
        "name",
        "observers",
        "only",
        "outliers",
        "panic",
        "per_try",
        "replay_limit",
        "retries",
        "slow_start",
        "timeouts",
        "try_timeout",
    )

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint],
        timeouts: UpstreamTimeouts,
        *,
        host: str | None = None,
        forwarded: bool = False,
        meters: Any = None,
        balance: Balancer | None = None,
        panic: float = 0.0,
        slow_start: float = 0.0,
        checks: CheckPolicy | None = None,
        outliers: OutlierPolicy | None = None,
        retries: RetryPolicy | None = None,
        hedge: HedgePolicy | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        """`forwarded` asks for `Forwarded` (RFC 7239) in place of X-Forwarded-*."""
        self.name = name
        self.endpoints = tuple(endpoints)
        self.changes = self.endpoints[0].changes if endpoints else Changes()
        self.timeouts = timeouts
        self.try_timeout = timeouts.response
        self.host = host
        self.forwarded = forwarded
        self.meters = meters
        self.balance: Balancer = balance or RoundRobin()
        self.panic = panic
        self.slow_start = slow_start
        self.checks = checks
        self.outliers = Outliers(outliers or OutlierPolicy())
        self.retries = retries
        self.budget = RetryBudget()
        self.replay_limit = REPLAY_LIMIT
        if retries is not None:
            self.budget = RetryBudget(retries.budget, retries.min_retries)
            self.replay_limit = retries.replay
            if retries.per_try is not None:
                self.try_timeout = min(self.try_timeout, retries.per_try)
        self.per_try = retries.per_try if retries is not None else None
        self.hedge = hedge
        self.hedges = RetryBudget(hedge.budget) if hedge is not None else RetryBudget()
        self.limiter = limiter
        self.observers = tuple(_observers(self.balance, limiter))
        self.only = self.endpoints[0] if len(self.endpoints) == 1 and not panic else None
        self._choices: tuple[Endpoint, ...] = ()
        self._spare: tuple[Endpoint, ...] = ()
        self._seen = -1
        self._review_at = 0.0

    def pick(self, exchange: Exchange | None, now: float, avoid: tuple[Endpoint, ...] = ()) -> Endpoint | None:
        """The endpoint for the next attempt, one of `avoid` only if no other is left. None when none is available."""
        only = self.only
        if only is not None:
            return only if only.state == "enabled" and only.healthy else None
        return self._pick_among_several(exchange, now, avoid)

    def _pick_among_several(
        self, exchange: Exchange | None, now: float, avoid: tuple[Endpoint, ...]
    ) -> Endpoint | None:
        choices = self.choices(now)
        endpoint = self.balance.pick(choices, exchange, now, avoid)
        if endpoint is None and avoid:
            spare = [other for other in self._spare if other not in avoid]
            if spare:
                return min(spare, key=lambda other: (other.priority, other.in_flight))
            return self.balance.pick(choices, exchange, now)
        return endpoint

    def has_other(self, tried: tuple[Endpoint, ...], now: float) -> bool:
        """Is there an endpoint that may be given requests, of whatever priority, and is none of these?"""
        return any(endpoint not in tried for endpoint in (*self.choices(now), *self._spare))

    def choices(self, now: float) -> tuple[Endpoint, ...]:
        """The endpoints that may be given requests at `now`; the same tuple until that changes."""
        if self._seen != self.changes.count or now >= self._review_at:
            self._review(now)
        return self._choices

    def _review(self, now: float) -> None:
        changed = self._seen != self.changes.count
        self._seen = self.changes.count
        enabled = [endpoint for endpoint in self.endpoints if endpoint.state == "enabled"]
        chosen = [endpoint for endpoint in enabled if endpoint.available(now)]
        if len(chosen) < self.panic * len(enabled):
            chosen = enabled
        if not chosen:
            chosen = due_first(enabled)
        level = min((endpoint.priority for endpoint in chosen), default=0)
        self._spare = tuple(endpoint for endpoint in chosen if endpoint.priority != level)
        chosen = [endpoint for endpoint in chosen if endpoint.priority == level]
        self._review_at = min(
            (endpoint.ejected_until for endpoint in enabled if endpoint.ejected_until > now), default=NEVER
        )
        reweighed = self.slow_start > 0 and self._warm(chosen, now)
        if changed or reweighed or tuple(chosen) != self._choices:
            self._choices = tuple(chosen)

    def _warm(self, chosen: Sequence[Endpoint], now: float) -> bool:
        """Give each its weight by how long it has been back; did any weight change?"""
        changed = False
        for endpoint in chosen:
            age = now - max(endpoint.available_since, endpoint.ejected_until)
            weight = warmed_weight(endpoint.full_weight, age, self.slow_start)
            changed = changed or weight != endpoint.weight
            endpoint.weight = weight
            if age < self.slow_start:
                self._review_at = min(self._review_at, now + WARMING_STEP)
        return changed

    def failed(self, endpoint: Endpoint, now: float, condition: Condition) -> None:
        """An attempt failed; `condition` is the table's word, "" for an answer of 5xx. Too often in a row ejects the
        endpoint, but for want of room, which is no sickness."""
        endpoint.errors += 1
        if condition != "full" and self.outliers.failed(endpoint, self.endpoints, now, condition == "connect"):
            self.meters.ejected(endpoint.ejected_for)

    def review(self, now: float) -> None:
        """Once a second or so: bring endpoints back whose time is over, compare the others."""
        for endpoint in self.outliers.review(self.endpoints, now):
            self.meters.ejected(endpoint.ejected_for)

    def __copy__(self) -> Upstream:
        twin = Upstream.__new__(Upstream)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    @property
    def in_flight(self) -> int:
        """Attempts under way at all endpoints."""
        return sum(endpoint.in_flight for endpoint in self.endpoints)

    def __repr__(self) -> str:
        return f"<Upstream {self.name}: {', '.join(endpoint.address for endpoint in self.endpoints)}>"


def _observers(balance: Balancer, limiter: Limiter | None) -> Iterator[Observer]:
    """Who is told of the end of every attempt."""
    observe = getattr(balance, "observe", None)
    if observe is not None:

        def learn(endpoint: Endpoint, seconds: float, now: float, verdict: Verdict) -> None:
            if verdict != "nothing":
                observe(endpoint, seconds if verdict == "good" else max(seconds, FAILURE_SECONDS), now)

        yield learn
    if limiter is not None:

        def give_back(endpoint: Endpoint, seconds: float, now: float, verdict: Verdict) -> None:
            limiter.give_back(seconds, None if verdict in ("nothing", "bad") else verdict == "overloaded")

        yield give_back
