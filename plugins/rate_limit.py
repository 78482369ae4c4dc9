"""Lets so many requests of one client pass in so much time, and answers 429 to the others (GCRA).

    - rate_limit: {rate: 100/s, burst: 20, by: client_ip}

`rate` is in ms, s, m, h or d, as in `10/10s`; `burst` is how many pass at once, else the rate's amount; a request takes
`cost` of them, 1 unless told otherwise. `by` is `client_ip` (IPv6 by its /64), `principal`, `consumer`, `route`,
`header:NAME`, `claim:NAME`, or a list of these; a request without it is counted by its address, in a space of its own.
Several limits at once are `policies: [{name: second, rate: 10/s}, {name: day, rate: 5000/d, by: consumer}]`: every
request passes all of them, or takes from none. What is refused does not count.

Routes with the same options share buckets unless `by` has `route`. `store: local` is memory, which a gateway's workers
share; `redis` is what `state:` names, where all gateways and routes count together whose name, rate, burst and `by` are
the same. When it does not answer, `on_store_error` decides: `local` (each gateway alone), `open` or `closed` (503).
`mode: observe` counts and lets pass. Clients read `headers: [draft]` (RateLimit-Policy and RateLimit, with `name`),
`legacy` (X-RateLimit-*), both or none (`[]`). `algorithm: spring` counts in the buckets of Spring Cloud Gateway, with
`prefix: ""` in `state:` and the same route names, rate and burst; a header counts by its hash, so not together with it.
"""

from __future__ import annotations

from gateway.limits.gate import local_gate, make_verdicts, shared_gate
from gateway.limits.options import RateLimitOptions
from gateway.plugin import Env, Exchange, Plugin, Reply, ResponseHead


class RateLimit(Plugin):
    """Asks its gate before each request, and tells the client what it said. Mutable state: the gate's."""

    Options = RateLimitOptions
    spans_routes = True

    def __init__(self, options: RateLimitOptions, env: Env) -> None:
        super().__init__(options, env)
        self._verdicts = make_verdicts(options, env)
        self._shared = shared_gate(options, self._verdicts, env) if options.store == "redis" else None
        self._gate = self._shared or local_gate(options, self._verdicts, env)
        # One call less for every request.
        self.on_request = self._gate.on_request  # type: ignore[method-assign]
        self.on_response = self._verdicts.replace  # type: ignore[method-assign]

    def uses_phase(self, phase: str) -> bool:
        if phase in ("admit", "stop"):
            return self._shared is not None
        return phase == "on_request" or (phase == "on_response" and self._verdicts.replaces)

    def on_request(self, exchange: Exchange) -> Reply | None:
        return self._gate.on_request(exchange)

    async def admit(self, exchange: Exchange) -> None:
        assert self._shared is not None
        await self._shared.admit(exchange)

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        self._verdicts.replace(exchange, head)

    async def stop(self) -> None:
        if self._shared is not None:
            await self._shared.settled()
