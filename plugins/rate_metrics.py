"""Counts what each route and each upstream serves: for Prometheus, and as figures for `/api/routes`.

`gateway_requests_total{route,method,code}`, `gateway_request_duration_seconds{route}`, and
`gateway_overhead_seconds{route}`, which is the part of the duration that was not spent at an upstream. What belongs to
a frontend has the label `frontend` too.
An error is a status of 500 and above, or an answer that broke off; a client that went away is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.plugin import Env, Exchange, Plugin, split_route_id
from gateway.telemetry.route_meter import RouteMeter, meter_key
from gateway.telemetry.traffic import Figures, Traffic, merged

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"])


class RateMetrics(Plugin):
    """Counts requests, not attempts: an upstream's figures are of requests that reached it.

    Mutable state: the counters met so far, and the figures of what is served, by names that the configuration gives.
    `_past` sums the figures of routes that are gone; `_served` and `_named` are the routes and the upstreams of now,
    `_gone` those upstreams that the last two configurations no longer had.
    """

    def __init__(self, options: None, env: Env) -> None:
        super().__init__(options, env)
        metrics = env.metrics
        self._requests = metrics.counter(
            "gateway_requests_total",
            "Requests by route, method and status.",
            ("route", "method", "code"),
            ("frontend",),
        )
        self._durations = metrics.histogram(
            "gateway_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            optional=("frontend",),
        )
        self._overheads = metrics.histogram(
            "gateway_overhead_seconds",
            "The part of the duration that was not spent at an upstream.",
            ("route",),
            optional=("frontend",),
        )
        self._meters: dict[tuple[str, str, int, str], RouteMeter] = {}
        self._traffic: dict[tuple[str, str], Traffic] = {}
        self._past = Traffic()
        self._served: set[str] = set()
        self._named: set[str] = set()
        self._gone: tuple[set[str], set[str]] = set(), set()

    def routes_served(self, routes: Mapping[str, Iterable[str]]) -> None:
        named = {upstream for upstreams in routes.values() for upstream in upstreams}
        # Requests that were under way when an upstream went may have been counted since.
        self._gone = self._named - named, self._gone[0] - named
        gone_upstreams, gone_routes = self._gone[0] | self._gone[1], self._served - routes.keys()
        self._named, self._served = named, set(routes)
        if not gone_upstreams and not gone_routes:
            return
        now = self.env.clock.now()
        for route, upstream in list(self._traffic):
            if route in gone_routes:
                self._past.absorb(self._traffic.pop((route, upstream)), now)
            elif upstream in gone_upstreams:
                old = self._traffic.pop((route, upstream))
                self._traffic.setdefault((route, ""), Traffic()).absorb(old, now)
        self._meters = {key: meter for key, meter in self._meters.items() if (key[0], key[3]) in self._traffic}

    def on_finish(self, exchange: Exchange) -> None:
        key = meter_key(exchange)
        (self._meters.get(key) or self._new_meter(*key)).count(exchange)

    def snapshot(self, now: float | None) -> dict[str, dict[str, Figures]]:
        """The figures of all routes, by their ids, and upstreams as of `now`, in monotonic seconds; without it no
        rates."""
        routes: dict[str, list[Figures]] = {}
        upstreams: dict[str, list[Figures]] = {}
        for (route, upstream), traffic in self._traffic.items():
            figures = traffic.figures(now)
            routes.setdefault(route, []).append(figures)
            if upstream:
                upstreams.setdefault(upstream, []).append(traffic.upstream_figures(figures))
        return {
            "routes": {name: merged(parts) for name, parts in routes.items()},
            "upstreams": {name: merged(parts) for name, parts in upstreams.items()},
        }

    def totals(self) -> tuple[int, int]:
        """Calls and errors of all routes."""
        found = [self._past, *self._traffic.values()]
        return sum(traffic.calls for traffic in found), sum(traffic.errors for traffic in found)

    def _new_meter(self, route_id: str, method: str, status: int, upstream: str) -> RouteMeter:
        """What one more combination counts on. Unknown methods share one, so that clients cannot make more."""
        known = method if method in METHODS else "other"
        frontend, route = split_route_id(route_id)
        last = (frontend,) if frontend else ()
        traffic = self._traffic.setdefault((route_id, upstream), Traffic())
        counter = self._requests.labels(route, known, str(status), *last)
        histograms = self._durations.labels(route, *last), self._overheads.labels(route, *last)
        meter = RouteMeter(counter, traffic, *histograms, status >= 500)
        if known == method:
            self._meters[route_id, method, status, upstream] = meter
        return meter
