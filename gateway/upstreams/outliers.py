"""Endpoints that fail the requests of clients are ejected for a while. Pure: time is passed in.

An ejection always ends: by itself, by a passed active check, or because no other endpoint is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf
from statistics import mean, pstdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.upstreams.endpoint import Endpoint


def due_first(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Of those that are ejected and nothing worse, the one that would be back first, if any: better than none."""
    ejected = [one for one in endpoints if one.ejected_until and one.state == "enabled" and one.healthy]
    return [min(ejected, key=lambda one: one.ejected_until)] if ejected else []


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """Ejects what succeeds less often than the mean less `deviations` times the standard deviation (Envoy's rule).

    Compared every `interval` seconds, among the endpoints that got `requests` or more in it, if those are `endpoints`
    or more.
    """

    interval: float = 10.0
    requests: int = 100
    endpoints: int = 5
    deviations: float = 1.9


@dataclass(frozen=True, slots=True)
class OutlierPolicy:
    """`errors` or `connect_errors` in a row eject, 0 for never. An ejection lasts `ejection` seconds times how often
    it happened in a row, `max_ejection` at most. At most the share `max_ejected` is out, rounded down."""

    errors: int = 5
    connect_errors: int = 5
    ejection: float = 5.0
    max_ejection: float = 60.0
    max_ejected: float = 0.5
    success_rate: SuccessRate | None = SuccessRate()


class Outliers:
    """Ejects endpoints of one upstream, and brings them back.

    Mutable state: the totals of each endpoint at the start of the interval under way, and when that was. What is
    known of an endpoint stands in the endpoint, and so outlives a configuration.
    """

    __slots__ = ("_began", "_totals", "policy")

    def __init__(self, policy: OutlierPolicy) -> None:
        self.policy = policy
        self._began = -inf
        self._totals: dict[Endpoint, tuple[int, int]] = {}

    def failed(self, endpoint: Endpoint, endpoints: Sequence[Endpoint], now: float, connect: bool) -> bool:
        """An attempt failed, with no connection opened if `connect`. True when that ejects `endpoint`, and then
        `ejected_for` says for what."""
        if 0 < endpoint.ejected_until <= now:
            self.lift(endpoint, now)
        endpoint.failures += 1
        endpoint.refusals = endpoint.refusals + 1 if connect else 0
        policy = self.policy
        if 0 < policy.connect_errors <= endpoint.refusals:
            return self._eject(endpoint, endpoints, now, "connect")
        if 0 < policy.errors <= endpoint.failures:
            return self._eject(endpoint, endpoints, now, "errors")
        return False

    def review(self, endpoints: Sequence[Endpoint], now: float) -> list[Endpoint]:
        """Once a second or so: end what is over, and compare success rates. Returns what that ejected.

        Endpoints may also be drained or fail their checks after others were ejected. When that leaves none, the one
        that would be back first comes back at once.
        """
        for endpoint in endpoints:
            if 0 < endpoint.ejected_until <= now:
                self.lift(endpoint, now)
        ejected = [one for one in self._compare(endpoints, now) if self._eject(one, endpoints, now, "success_rate")]
        if not any(endpoint.available(now) for endpoint in endpoints):
            for endpoint in due_first(endpoints):
                self.lift(endpoint, now)
        return ejected

    @staticmethod
    def lift(endpoint: Endpoint, now: float) -> None:
        """End an ejection, as a passed active check does; nothing happens to an endpoint that is not ejected."""
        if not endpoint.ejected_until:
            return
        endpoint.ejected_until = 0.0
        endpoint.ejected_for = ""
        endpoint.failures = endpoint.refusals = 0
        endpoint.returned_at = endpoint.available_since = now
        endpoint.changes.count += 1

    def _eject(self, endpoint: Endpoint, endpoints: Sequence[Endpoint], now: float, reason: str) -> bool:
        """Eject unless too many would be out, or none would be left."""
        if not endpoint.available(now):
            return False
        policy = self.policy
        enabled = ejected = 0
        another = elsewhere = False
        for other in endpoints:
            enabled += other.state == "enabled"
            ejected += other.ejected_until > now
            if other is not endpoint and other.available(now):
                another = True
                elsewhere = elsewhere or other.priority > endpoint.priority
        # Endpoints of a later priority stand by for just this, so that all of an earlier one may be out.
        # Binary fractions: 0.29 of 100 comes out below 29.
        if not another or not (elsewhere or ejected < floor(policy.max_ejected * enabled + 1e-9)):
            return False
        in_a_row = endpoint.ejections > 0 and now - endpoint.returned_at <= policy.max_ejection
        endpoint.ejections = endpoint.ejections + 1 if in_a_row else 1
        endpoint.ejected_for = reason
        endpoint.ejected_until = now + min(policy.max_ejection, policy.ejection * endpoint.ejections)
        endpoint.changes.count += 1
        return True

    def _compare(self, endpoints: Sequence[Endpoint], now: float) -> list[Endpoint]:
        """At the end of an interval those that succeed too seldom, the worst first."""
        rule = self.policy.success_rate
        if rule is None or now - self._began < rule.interval:
            return []
        before, began = self._totals, self._began
        self._totals = {endpoint: (endpoint.requests, endpoint.errors) for endpoint in endpoints}
        self._began = now
        rates: dict[Endpoint, float] = {}
        for endpoint in endpoints:
            # What an endpoint did before it came back was punished already.
            if endpoint in before and endpoint.available(now) and endpoint.returned_at <= began:
                requests = endpoint.requests - before[endpoint][0]
                errors = endpoint.errors - before[endpoint][1]
                if requests >= rule.requests:
                    # Errors of requests that began in the interval before can be more than the requests of this one.
                    rates[endpoint] = max(0.0, 1 - errors / requests)
        if not rates or len(rates) < rule.endpoints:
            return []
        lowest = mean(rates.values()) - rule.deviations * pstdev(rates.values())
        return sorted((endpoint for endpoint in rates if rates[endpoint] < lowest), key=rates.__getitem__)
