"""What one combination of route, method, status and upstream counts on."""

from __future__ import annotations

from gateway import plugin
from gateway.exchange import Exchange
from gateway.telemetry.traffic import FAILURES, Traffic


class RouteMeter:
    """The counter of a route, method and status; the figures of route and upstream; the route's histograms of duration
    and overhead; and whether that status is an error. Mutable state: theirs."""

    __slots__ = ("_bad", "_counter", "_durations", "_overheads", "_traffic")

    def __init__(
        self,
        counter: plugin.Counter,
        traffic: Traffic,
        durations: plugin.Histogram,
        overheads: plugin.Histogram,
        bad: bool,
    ) -> None:
        self._counter = counter
        self._traffic = traffic
        self._durations = durations
        self._overheads = overheads
        self._bad = bad

    def count(self, exchange: Exchange) -> None:
        """A request is over."""
        now = exchange.ended
        seconds = now - exchange.started
        waited = exchange.upstream_seconds
        self._counter.value += 1
        self._traffic.add(now, seconds, self._bad or exchange.outcome in FAILURES, waited)
        self._durations.observe(seconds)
        self._overheads.observe(seconds - waited if seconds > waited else 0.0)


def meter_key(exchange: Exchange) -> tuple[str, str, int, str]:
    """Route, method, status and upstream, which is "" where none was asked."""
    upstream = exchange.upstream if exchange.attempt is not None else ""
    return exchange.route_id, exchange.method, exchange.status, upstream
