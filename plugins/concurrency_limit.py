"""Lets so many requests of one client be under way at once, and answers 429 to more.

    - concurrency_limit: {limit: 10, by: principal}

`by` is as for `rate_limit`: `client_ip` (the default), `principal`, `consumer`, `route`, `header:NAME`, `claim:NAME`,
or a list of these. `status: 503` answers otherwise; `mode: observe` counts and lets pass. All workers of the
gateway count together, and so do routes with the same options, unless `by` has `route`.
"""

from __future__ import annotations

from collections.abc import Hashable

from gateway.limits.decisions import Decisions
from gateway.limits.keys import key_of
from gateway.limits.options import ConcurrencyLimitOptions, parts_of
from gateway.limits.places import make_places
from gateway.plugin import Env, Exchange, GatewayError, Kind, Plugin

NAME = "gateway_concurrency_limit_total"
TEXT = "Requests at limits of concurrency by decision."


class ConcurrencyLimit(Plugin):
    """Takes a place before a request, and gives it back at its end.

    Mutable state: the places that are taken, and the key of each request that has one.
    """

    Options = ConcurrencyLimitOptions
    spans_routes = True

    def __init__(self, options: ConcurrencyLimitOptions, env: Env) -> None:
        super().__init__(options, env)
        self._limit = options.limit
        self._key_of = key_of(parts_of(options.by))
        self._decisions = Decisions(env.metrics, NAME, TEXT, options.mode == "enforce")
        self._places = make_places(env.seat, f"{env.instance} {options!r}")
        self._keys: dict[Exchange, Hashable] = {}

    def on_request(self, exchange: Exchange) -> None:
        key = self._key_of(exchange)
        if self._places.take(key, self._limit):
            self._decisions.allowed[exchange.route_id].inc()
        else:
            self._decisions.over(exchange, self._refusal())
            self._places.take_anyway(key)
        self._keys[exchange] = key

    def on_finish(self, exchange: Exchange) -> None:
        if exchange in self._keys:
            self._places.give_back(self._keys.pop(exchange))

    def _refusal(self) -> GatewayError:
        detail = f"no more than {self._limit} requests at once"
        return GatewayError(Kind.RATE_LIMITED, detail, retry_after=1.0, status=self.options.status)
