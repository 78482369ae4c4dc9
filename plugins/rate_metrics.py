"""Counts what each route and each upstream serves: for Prometheus, and as figures for `/api/routes`.

`gateway_requests_total{route,method,code}`, `gateway_request_duration_seconds{route}`, and
`gateway_overhead_seconds{route}`, which is the part of the duration that was not spent at an upstream.
An error is a status of 500 and above, or an answer that broke off; a client that went away is none.
"""

from __future__ import annotations

from gateway.plugin import Counter, Env, Exchange, Histogram, Plugin
from gateway.telemetry.traffic import FAILURES, Figures, Traffic

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"])


class RateMetrics(Plugin):
    """Counts requests, not attempts: an upstream's figures are of requests that reached it, by their last attempt.

    Mutable state: the counters and figures met so far, by names that the configuration gives.
    """

    def __init__(self, options: None, env: Env) -> None:
        super().__init__(options, env)
        metrics = env.metrics
        self._requests = metrics.counter(
            "gateway_requests_total", "Requests by route, method and status.", ("route", "method", "code")
        )
        self._durations = metrics.histogram(
            "gateway_request_duration_seconds", "From a request's head to the end of its answer.", ("route",)
        )
        self._overheads = metrics.histogram(
            "gateway_overhead_seconds", "The part of the duration that was not spent at an upstream.", ("route",)
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._routes: dict[str, tuple[Traffic, Histogram, Histogram]] = {}
        self._upstreams: dict[str, Traffic] = {}

    def on_finish(self, exchange: Exchange) -> None:
        now = exchange.ended
        seconds = now - exchange.started
        status = exchange.status
        name = exchange.route
        method = exchange.method if exchange.method in METHODS else "other"
        failed = status >= 500 or exchange.outcome in FAILURES
        (self._counters.get((name, method, status)) or self._new_counter(name, method, status)).inc()
        traffic, durations, overheads = self._routes.get(name) or self._new_route(name)
        traffic.add(now, seconds, failed)
        durations.observe(seconds)
        waited = exchange.upstream_seconds
        overheads.observe(seconds - waited if seconds > waited else 0.0)
        attempt = exchange.attempt
        if attempt is not None:
            upstream = self._upstreams.get(exchange.upstream) or self._new_upstream(exchange.upstream)
            upstream.add(now, waited, attempt.error in FAILURES or (attempt.status or 0) >= 500)

    def snapshot(self, now: float) -> dict[str, dict[str, Figures]]:
        """The figures of all routes and upstreams as of `now`, in monotonic seconds."""
        return {
            "routes": {name: traffic.figures(now) for name, (traffic, _, _) in self._routes.items()},
            "upstreams": {name: traffic.figures(now) for name, traffic in self._upstreams.items()},
        }

    def _new_counter(self, route: str, method: str, status: int) -> Counter:
        counter = self._counters[route, method, status] = self._requests.labels(route, method, str(status))
        return counter

    def _new_route(self, name: str) -> tuple[Traffic, Histogram, Histogram]:
        route = self._routes[name] = (Traffic(), self._durations.labels(name), self._overheads.labels(name))
        return route

    def _new_upstream(self, name: str) -> Traffic:
        traffic = self._upstreams[name] = Traffic()
        return traffic
