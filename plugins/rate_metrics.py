"""Counts what each route and each upstream serves: for Prometheus, and as figures for `/api/routes`.

`gateway_requests_total{route,method,code}`, `gateway_request_duration_seconds{route}`, and
`gateway_overhead_seconds{route}`, which is the part of the duration that was not spent at an upstream.
An error is a status of 500 and above, or an answer that broke off; a client that went away is none.
"""

from __future__ import annotations

from gateway.plugin import Counter, Env, Exchange, Histogram, Plugin
from gateway.telemetry.traffic import FAILURES, Figures, Traffic

# The counter of a route, method and status; the route's figures and histograms; is that status an error?
Meter = tuple[Counter, Traffic, Histogram, Histogram, bool]
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
        self._meters: dict[tuple[str, str, int], Meter] = {}
        self._routes: dict[str, tuple[Traffic, Histogram, Histogram]] = {}
        self._upstreams: dict[str, Traffic] = {}

    def on_finish(self, exchange: Exchange) -> None:
        now = exchange.ended
        seconds = now - exchange.started
        key = (exchange.route, exchange.method, exchange.status)
        counter, traffic, durations, overheads, bad = self._meters.get(key) or self._new_meter(*key)
        counter.inc()
        traffic.add(now, seconds, bad or exchange.outcome in FAILURES)
        durations.observe(seconds)
        waited = exchange.upstream_seconds
        overheads.observe(seconds - waited if seconds > waited else 0.0)
        attempt = exchange.attempt
        if attempt is not None:
            upstream = self._upstreams.get(exchange.upstream) or self._new_upstream(exchange.upstream)
            status = attempt.status
            upstream.add(now, waited, status >= 500 if status is not None else attempt.error in FAILURES)

    def snapshot(self, now: float) -> dict[str, dict[str, Figures]]:
        """The figures of all routes and upstreams as of `now`, in monotonic seconds."""
        return {
            "routes": {name: traffic.figures(now) for name, (traffic, _, _) in self._routes.items()},
            "upstreams": {name: traffic.figures(now) for name, traffic in self._upstreams.items()},
        }

    def _new_meter(self, route: str, method: str, status: int) -> Meter:
        """What one more combination counts on. Unknown methods share one, so that clients cannot make more."""
        known = method if method in METHODS else "other"
        counter = self._requests.labels(route, known, str(status))
        if route not in self._routes:
            self._routes[route] = (Traffic(), self._durations.labels(route), self._overheads.labels(route))
        meter = (counter, *self._routes[route], status >= 500)
        if known == method:
            self._meters[route, method, status] = meter
        return meter

    def _new_upstream(self, name: str) -> Traffic:
        traffic = self._upstreams[name] = Traffic()
        return traffic
