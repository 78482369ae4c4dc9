"""Asks an authorisation service about each request before it goes on, and does as it says.

    - auth_delegation: {upstream: auth, path: /verify, copy_on_allow: [X-User-Id], cache: {ttl: 30s}}

The service is one of `upstreams`. It is told `send_headers`, ids and X-Forwarded-Method, -Proto, -Host, -Uri and -For,
by GET or `method: original`, in the `dialect` of traefik, nginx or envoy, and `with_body: {max: 8KiB}` with the body.
When it allows, `copy_on_allow` goes on to the service behind, in place of whatever the client sent under those names;
`principal` is the one of them that says who it is. When it refuses, its status, its body and `copy_on_deny` go to
the client. When it does not answer within `timeout`, or with rubbish, the client gets `status_on_error`, unless it
says `fail: open`. A `breaker` spares it. `when: [{methods: [POST]}, {routes: [admin]}]` asks about those alone.

`cache: {by: [Authorization, Cookie], ttl: from_response, negative_ttl: 2s, max: 10000}` keeps decisions by those
headers, host, method and raw path with query, and asks once what many ask at a time; `per: credential` keeps them by
the headers alone, for a service that looks at nothing else. One that decides by the client's address must not be
cached. `name` is the breaker's: two entries that ask one service with different options need one each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.auth.claims import set_identity
from gateway.auth.decisions import DecisionCache, SingleFlight
from gateway.auth.delegation import Unintelligible, Verdict, no_decision, question, verdict
from gateway.auth.delegation_options import DelegationOptions
from gateway.auth.known import KnownVerdicts
from gateway.auth.meter import AuthMeter
from gateway.breaker.circuit import Circuit
from gateway.breaker.circuits import Circuits
from gateway.plugin import ADMITTED, Env, Exchange, GatewayError, Kind, Plugin, Reply


class AuthDelegation(Plugin):
    """Mutable state: the decisions of this instance, the questions under way, and the circuit of the service."""

    Options = DelegationOptions
    spans_routes = True

    def __init__(self, options: DelegationOptions, env: Env) -> None:
        super().__init__(options, env)
        self._service = env.upstream(options.upstream)
        self._meter = AuthMeter(env.metrics, "auth_delegation")
        self._now = env.clock.now
        self._circuits = Circuits(options.breaker, env)
        self._name = options.name or f"auth:{options.upstream}"
        cache = options.cache
        self._asking = SingleFlight[Verdict]()
        self._credentials = options.credentials
        if cache is not None:
            self._cache = DecisionCache[Verdict](cache.max)
            whole, allowed = cache.per == "request", self._meter.allowed
            self._known = KnownVerdicts(self._cache, cache.fields, whole, self._credentials, allowed, self._now)
        if options.with_body is not None:
            self.needs_body, self.max_body = "request", int(options.with_body.max)

    def identity_headers(self) -> Iterable[str]:
        return list(self.options.identities)

    def is_current(self, env: Env) -> bool:
        return env.upstream(self.options.upstream) is not None

    def unique_names(self, routes: Mapping[str, Iterable[str]]) -> Iterable[str]:
        return [self._name]

    def routes_served(self, routes: Mapping[str, Iterable[str]]) -> None:
        self._circuits.keep([self._name] if routes else [])
        for name in self.options.unknown_routes(routes):
            self.env.log.warning("`when` names the route %r, which has no auth_delegation: nobody is asked there", name)

    def breakers(self) -> Mapping[str, Circuit]:
        """The circuit of the service by its name."""
        return self._circuits.by_name()

    def uses_phase(self, phase: str) -> bool:
        if phase == "on_request":
            return self.options.cache is not None or bool(self.options.when)
        return phase == "admit"

    def on_request(self, exchange: Exchange) -> Reply | None:
        when = self.options.when
        if when and not any(rule.fits(exchange.route_id, exchange.method) for rule in when):
            return ADMITTED
        if self.options.cache is None:
            return None
        # What is done below for all, in one call for most.
        if self._known.let_in(exchange):
            return ADMITTED
        known = self._cache.get(self._known.key(exchange), self._now())
        return None if known is None else self._follow(exchange, known) or ADMITTED

    async def admit(self, exchange: Exchange) -> Reply | None:
        try:
            known = await (self._ask(exchange) if self.options.cache is None else self._ask_once(exchange))
        except (GatewayError, LookupError, Unintelligible) as error:
            self._meter.error.inc()
            # Its traceback would hold the frames that hold the exchange.
            error.with_traceback(None)
            if self.options.fail == "open":
                self._replace(exchange)
                return None
            raise no_decision(error, self.options) from None
        return self._follow(exchange, known)

    async def _ask_once(self, exchange: Exchange) -> Verdict:
        mine: list[Exchange] = []

        async def ask() -> Verdict:
            mine.append(exchange)
            return await self._ask(exchange)

        key = self._known.key(exchange)
        known = await self._asking.ask(key, ask)
        if known.cookies and not mine:
            # Cookies are for who asked, and for nobody who happened to ask the same.
            known = await self._ask(exchange)
        if known.seconds:
            self._cache.put(key, known, self._now() + known.seconds)
        return known

    async def _ask(self, exchange: Exchange) -> Verdict:
        """GatewayError for no answer, LookupError for no service any more, Unintelligible for one that says nothing."""
        circuit = self._circuits.of(self._name)
        started = self._now()
        permit = circuit.allow(started)
        if permit is None and (self.options.breaker.mode == "enforce" or circuit.state == "forced_open"):
            raise self._circuits.refusal(circuit, started)
        outcome = Kind.CLIENT_GONE.word
        try:
            asked = question(exchange, self.options)
            answer = await self._service.request(*asked, timeout=float(self.options.timeout))
            outcome = "5xx" if answer.status >= 500 else "answered"
            return verdict(answer, self.options)
        except GatewayError as error:
            outcome = error.kind.word
            raise
        finally:
            if permit is not None:
                now = self._now()
                self._circuits.settle(permit, outcome, None, now, now - started)

    def _follow(self, exchange: Exchange, known: Verdict) -> Reply | None:
        if known.reply is not None:
            self._meter.denied.inc()
            return known.reply
        self._meter.allowed.inc()
        self._replace(exchange)
        set_identity(exchange, known.principal or exchange.principal, exchange.claims or {}, known.fields)
        return None

    def _replace(self, exchange: Exchange) -> None:
        for name in self._credentials:
            exchange.headers.remove(name)
