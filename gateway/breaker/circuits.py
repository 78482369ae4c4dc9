"""The circuits of one breaker by what they guard, shown as metrics and told to the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gateway.breaker.circuit import STATES, Circuit, Permit, State
from gateway.breaker.options import BreakerOptions
from gateway.plugin import Attempt, Env


class Circuits:
    """Makes circuits as they are met. Mutable state: `guarding`, the circuit of each guarded thing by its name.

    With the option `name` one circuit of that name guards everything; else each thing has one of its own name.
    `conditions` holds what counts as a failure, by the words of outcomes and `5xx`.
    """

    def __init__(self, options: BreakerOptions, env: Env) -> None:
        self.conditions = options.conditions()
        self._policy = options.policy()
        self._name = options.name
        self._log = env.log
        self._clock = env.clock
        self._states = env.metrics.gauge(
            "gateway_breaker_state", "1 for the state that a breaker is in, 0 for the others.", ("breaker", "state")
        )
        self._fallbacks = env.metrics.counter(
            "gateway_fallbacks_total", "Answers in place of a failure, by what gave them.", ("breaker", "fallback")
        )
        self.guarding: dict[str, Circuit] = {}

    def of(self, guarded: str) -> Circuit:
        """The circuit that guards this, made when there is none."""
        circuit = self.guarding.get(guarded)
        if circuit is None:
            shared = next(iter(self.guarding.values()), None) if self._name else None
            circuit = self.guarding[guarded] = shared or self._new(self._name or guarded)
        return circuit

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
        elif outcome in ("answered", "5xx"):
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

    def _new(self, name: str) -> Circuit:
        circuit = Circuit(name, self._policy, self._clock.now(), self._changed)
        self._show(circuit)
        return circuit

    def _show(self, circuit: Circuit) -> None:
        for state in STATES:
            self._states.labels(circuit.name, state).set(float(state == circuit.state))

    def _changed(self, circuit: Circuit, before: State, counts: dict[str, int]) -> None:
        self._show(circuit)
        level = logging.WARNING if circuit.state in ("open", "forced_open") else logging.INFO
        told = ", ".join(f"{event} {count}" for event, count in counts.items() if count) or "no calls"
        self._log.log(level, "breaker %s is %s, it was %s: %s", circuit.name, circuit.state, before, told)
