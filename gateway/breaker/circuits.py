"""The circuits of one breaker by what they guard, shown as metrics and told to the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from gateway.breaker.circuit import STATES, Circuit, Permit, State
from gateway.breaker.options import BreakerOptions
from gateway.breaker.shared_circuit import SharedCircuit
from gateway.plugin import Attempt, Env, Exchange, GatewayError, Kind

# A composition's required part was answered with a 4xx, which is a service's word like another.
ANSWERED = frozenset(["answered", "5xx", Kind.PART_REFUSED.word])


class Circuits:
    """Makes circuits as they are met. Mutable state: `guarding`, the circuit of each guarded thing by its name, and
    those of endpoints that are open, by upstream, in the order in which they opened.

    With the option `name` one circuit of that name guards everything; else each thing has one of its own name.
    `conditions` holds what counts as a failure, by the words of outcomes and `5xx`.
    """

    def __init__(self, options: BreakerOptions, env: Env) -> None:
        self.conditions = options.conditions()
        self._policy = options.policy()
        self._name = options.name
        self._scope = options.scope
        self._standby = options.fallback.to if options.fallback is not None and options.mode == "enforce" else None
        self._log = env.log
        self._clock = env.clock
        self._seat = env.seat
        self._space = f"{env.instance} {options!r}"
        self._states = env.metrics.gauge(
            "gateway_breaker_state",
            "1 for the state that a breaker is in, 0 for the others.",
            ("breaker", "state"),
            merge="max",
        )
        self._fallbacks = env.metrics.counter(
            "gateway_fallbacks_total", "Answers in place of a failure, by what gave them.", ("breaker", "fallback")
        )
        self.guarding: dict[str, Circuit] = {}
        self._opened: dict[str, dict[Circuit, None]] = {}

    def guarded(self, exchange: Exchange, attempt: Attempt | None) -> str:
        """What the circuit guards: its name, unless the options give one."""
        if self._scope == "route":
            return exchange.route_id
        if self._scope == "upstream" or attempt is None:
            return exchange.upstream
        return f"{exchange.upstream}/{attempt.endpoint}"

    def of(self, guarded: str) -> Circuit:
        """The circuit that guards this, made when there is none."""
        circuit = self.guarding.get(guarded)
        if circuit is None:
            shared = next(iter(self.guarding.values()), None) if self._name else None
            circuit = self.guarding[guarded] = shared or self._new(self._name or guarded)
        return circuit

    def claims(self, routes: Mapping[str, Iterable[str]]) -> list[str]:
        """The names that its circuits have while these routes are served, those of endpoints as `upstream/*`."""
        guarded = self._things(routes)
        if self._name is not None:
            return [self._name] if guarded else []
        return [f"{name}/*" for name in guarded] if self._scope == "endpoint" else guarded

    def serve(self, routes: Mapping[str, Iterable[str]]) -> None:
        """Keep what these routes, each with its upstreams, go through. Endpoints are not known: the circuit of one
        that may be gone is kept until it has been idle for long."""
        guarded = self._things(routes)
        if self._scope == "endpoint":
            now = self._clock.now()
            alive = [name for name, circuit in self.guarding.items() if not circuit.is_idle(now)]
            guarded = [name for name in alive if name.partition("/")[0] in guarded]
        self.keep(guarded)

    def _things(self, routes: Mapping[str, Iterable[str]]) -> list[str]:
        """Routes that have upstreams, or upstreams."""
        targets = {route: tuple(upstreams) for route, upstreams in routes.items()}
        if self._scope == "route":
            return [route for route, upstreams in targets.items() if upstreams]
        found = {upstream for upstreams in targets.values() for upstream in upstreams}
        if found and self._standby is not None:
            found.add(self._standby)
        return sorted(found)

    def keep(self, guarded: Iterable[str]) -> None:
        """There is one for each of these, and for nothing else."""
        before = self.by_name()
        wanted = dict.fromkeys(guarded)
        for gone in self.guarding.keys() - wanted.keys():
            del self.guarding[gone]
        for name in wanted:
            self.of(name)
        for gone in before.keys() - self.by_name().keys():
            # Calls that are under way may still change it: nobody is told.
            before[gone].listener = None
            before[gone].leave()
            self._opened.get(gone.partition("/")[0], {}).pop(before[gone], None)
            for state in STATES:
                self._states.labels(gone, state).set(0)

    def by_name(self) -> dict[str, Circuit]:
        """Every circuit by its own name."""
        return {circuit.name: circuit for circuit in self.guarding.values()}

    def settle(self, permit: Permit, outcome: str, attempt: Attempt | None, now: float, seconds: float) -> None:
        """A call ended with this outcome (or `5xx`); what says nothing about the upstream is not counted."""
        if outcome == "answered" and attempt is not None and (attempt.status or 0) >= 500:
            outcome = "5xx"
        condition = self.conditions.get(outcome)
        if condition is not None:
            permit.circuit.failed(permit, now, seconds, condition)
        elif outcome in ANSWERED:
            permit.circuit.succeeded(permit, now, seconds)
        else:
            permit.circuit.released(permit)

    def fell_back(self, guarded: str, source: str, good: bool, now: float) -> None:
        """A fallback was asked for: `source` is what stood in for the answer, "" for nothing; `good` is no failure."""
        circuit = self.guarding.get(guarded)
        if circuit is not None:
            circuit.fell_back(good, now)
        if source:
            self._fallbacks.labels(self._name or guarded, source).inc()

    def refusal(self, circuit: Circuit, now: float) -> GatewayError:
        """What a call gets that this circuit does not let through."""
        cause = f"the breaker {circuit.name} is {circuit.state}"
        elsewhere = self._scope == "endpoint" and self._name is None
        return GatewayError(
            Kind.BREAKER_OPEN, cause=cause, retry_after=self._retry_after(circuit, now), elsewhere=elsewhere
        )

    def _retry_after(self, circuit: Circuit, now: float) -> float:
        """Seconds until a call may be let through, by this circuit or that of another endpoint of its upstream."""
        seconds = circuit.retry_after(now)
        opened = self._opened.get(circuit.name.partition("/")[0])
        while opened:
            # All sleep equally long: the first to open is the first to try.
            first = next(iter(opened))
            soonest = first.retry_after(now)
            if soonest:
                return min(seconds, soonest)
            # It may try already, or its endpoint is gone.
            del opened[first]
        return seconds

    def _new(self, name: str) -> Circuit:
        now = self._clock.now()
        record = self._seat.record(f"{self._space} {name}") if self._seat is not None else None
        if record is None:
            circuit = Circuit(name, self._policy, now, self._changed)
        else:
            circuit = SharedCircuit(name, self._policy, now, record, self._changed)
        self._show(circuit)
        return circuit

    def _show(self, circuit: Circuit) -> None:
        for state in STATES:
            self._states.labels(circuit.name, state).set(float(state == circuit.state))

    def _changed(self, circuit: Circuit, before: State, counts: dict[str, int] | None) -> None:
        self._show(circuit)
        if self._scope == "endpoint" and self._name is None:
            opened = self._opened.setdefault(circuit.name.partition("/")[0], {})
            opened.pop(circuit, None)
            if circuit.state == "open":
                opened[circuit] = None
        if counts is None:
            # The worker that made the change has told.
            return
        level = logging.WARNING if circuit.state in ("open", "forced_open") else logging.INFO
        told = ", ".join(f"{event} {count}" for event, count in counts.items() if count) or "no calls"
        self._log.log(level, "breaker %s is %s, it was %s: %s", circuit.name, circuit.state, before, told)
