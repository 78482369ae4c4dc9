"""Spares an upstream that fails, and answers in its place (closed = traffic flows; the numbers are Hystrix's).

    - breaker: {window: 10s, requests: 20, errors: 50%, sleep: 5s, fallback: {json: {items: []}, stale: {for: 60s}}}

Also `slow: {over: 2s, share: 80%}`, `consecutive: 5` in place of `errors`, `half_open: {probes: 1}` or `{ramp: 10s}`,
`count: [5xx, timeout, connect]`, `scope: route|upstream|endpoint`, `mode: observe` (refuses nothing), and `name`. A
fallback is a literal answer (`status`, `headers`, `json`, `text` or `file`), an upstream (`to`) or an application
(`app: module:attribute`), and before any of them the last good answer (`stale`; only one that has a Content-Length or
chunks is kept). It stands in for every answer that would count as a failure, open or not, once all plugins have let the
request pass. Routes that list a breaker with the same options share it, unless its scope is route and it has no `name`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.breaker.circuit import Circuit, Permit
from gateway.breaker.circuits import Circuits
from gateway.breaker.fallback import HEADER, Fallbacks
from gateway.breaker.options import BreakerOptions
from gateway.plugin import Attempt, Env, Exchange, Failure, Kind, Plugin, Reply, ResponseHead

OPEN, GONE, LOCAL = Kind.BREAKER_OPEN.word, Kind.CLIENT_GONE.word, "local"


class Breaker(Plugin):
    """Asks a circuit before each request (scope route) or each attempt, and tells it what came of it.

    Mutable state: the circuits; `_permits` that are out, by exchange or attempt; `_moved`, the exchanges that were sent
    to the fallback's upstream, each with what the circuit of its failure guards.
    """

    Options = BreakerOptions

    def __init__(self, options: BreakerOptions, env: Env) -> None:
        super().__init__(options, env)
        self._now = env.clock.now
        self._enforces = options.mode == "enforce"
        self._circuits = Circuits(options, env)
        self._guarding = self._circuits.guarding
        self._permits: dict[Exchange | Attempt, Permit] = {}
        self._moved: dict[Exchange, str] = {}
        self._made = Fallbacks(options.fallback, env) if options.fallback is not None else None
        self._fallbacks = self._made if self._enforces else None
        self.resends = self._fallbacks is not None and self._fallbacks.to is not None
        self.applications = self._fallbacks.applications if self._fallbacks is not None else ()
        self.spans_routes = options.scope != "route" or options.name is not None

    def is_current(self, env: Env) -> bool:
        return self._made is None or self._made.is_current(env)

    def uses_phase(self, phase: str) -> bool:
        needed = {"on_request", "on_failure", "on_response", "on_finish"}
        if self.options.scope != "route":
            needed = {"on_attempt", "on_attempt_end"}
        if self._fallbacks is not None:
            needed |= {"on_failure"} | self._fallbacks.phases
        return phase in needed

    def unique_names(self, routes: Mapping[str, Iterable[str]]) -> Iterable[str]:
        return self._circuits.claims(routes)

    def routes_served(self, routes: Mapping[str, Iterable[str]]) -> None:
        self._circuits.serve(routes)

    def breakers(self) -> Mapping[str, Circuit]:
        """Every circuit by its name."""
        return self._circuits.by_name()

    def on_request(self, exchange: Exchange) -> None:
        circuit = self._guarding.get(exchange.route_id)
        if circuit is None:
            if not exchange.upstream:
                return
            circuit = self._circuits.of(exchange.route_id)
        permit = circuit.permit
        if permit is None:
            self._ask(circuit, exchange, self._now())
        else:
            circuit.in_flight += 1
            self._permits[exchange] = permit

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
        self._ask(self._circuits.of(self._circuits.guarded(exchange, attempt)), attempt, attempt.started)

    def on_attempt_end(self, exchange: Exchange, attempt: Attempt) -> None:
        permit = self._permits.pop(attempt, None)
        if permit is not None:
            word = attempt.error or ("answered" if attempt.status else "")
            now = attempt.started + attempt.seconds
            self._circuits.settle(permit, word, attempt, now, attempt.waited or attempt.seconds)

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        word = failure.error or "5xx"
        if word not in self._circuits.conditions and word != OPEN:
            return None
        now = self._now()
        permit = self._permits.pop(exchange, None)
        if permit is not None:
            self._circuits.settle(permit, word, exchange.attempt, now, _seconds(exchange, now))
        if self._fallbacks is None:
            return None
        guarded = self._circuits.guarded(exchange, exchange.attempt)
        reply = self._fallbacks.answer(exchange, now)
        if exchange.fallback == "upstream":
            self._moved[exchange] = guarded
        else:
            self._circuits.fell_back(guarded, exchange.fallback, reply is not None, now)
        return reply

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        if head.status == 101 and (permit := self._permits.pop(exchange, None)) is not None:  # a tunnel may last
            permit.circuit.succeeded(permit, now := self._now(), _seconds(exchange, now))
        if exchange.fallback == "upstream" and exchange in self._moved:
            if exchange.attempts:  # else it is the answer of a plugin behind this one
                head.headers.set(HEADER, "upstream")
        elif self._fallbacks is not None:
            self._fallbacks.watch(exchange, head, self._now())

    def on_finish(self, exchange: Exchange) -> None:
        if exchange.tap is not None and self._fallbacks is not None:
            self._fallbacks.finished(exchange)
        permit = self._permits.pop(exchange, None)
        if permit is not None:
            now, attempt = exchange.ended, exchange.attempt
            if attempt is not None and exchange.outcome == "answered" and exchange.status < 500:
                permit.circuit.succeeded(permit, now, attempt.waited or attempt.seconds)
            else:
                word = exchange.outcome if exchange.target else LOCAL  # no target: a plugin behind this one failed
                self._circuits.settle(permit, word, attempt, now, _seconds(exchange, now))
        elif exchange in self._moved:
            guarded = self._moved.pop(exchange)
            if exchange.outcome not in (GONE, LOCAL):
                good = exchange.outcome in ("answered", "fallback") and exchange.status < 500
                self._circuits.fell_back(guarded, exchange.fallback, good, exchange.ended)

    def _ask(self, circuit: Circuit, call: Exchange | Attempt, now: float) -> None:
        permit = circuit.allow(now)
        if permit is not None:
            self._permits[call] = permit
        elif self._enforces or circuit.state == "forced_open":
            raise self._circuits.refusal(circuit, now)


def _seconds(exchange: Exchange, now: float) -> float:
    """How long the upstream took: the client's reading of the body is none of its time."""
    attempt = exchange.attempt
    if attempt is None:
        return now - exchange.started
    return attempt.waited or attempt.seconds or now - attempt.started
