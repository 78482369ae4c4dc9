"""The state machine of one circuit: closed lets calls through, open refuses, half-open tries. Pure: time is passed in.

States, defaults and the error share (of successes, failures, timeouts and rejections; what was refused while open does
not count) are Hystrix's. The ramp is Traefik's recovery.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, TypedDict, get_args

from gateway.breaker.window import (
    FAILURE,
    FALLBACK_FAILURE,
    FALLBACK_SUCCESS,
    REJECTED,
    SHORT_CIRCUITED,
    SLOW,
    SUCCESS,
    TIMEOUT,
    Window,
)

State = Literal["closed", "open", "half_open", "forced_open", "forced_closed"]
Force = Literal["forced_open", "forced_closed", "auto"]
STATES: Final[tuple[State, ...]] = get_args(State)
FORCES: Final[tuple[Force, ...]] = get_args(Force)
# Conditions of failures that have a count of their own.
EVENT_OF: Final = {"timeout": TIMEOUT, "full": REJECTED}
ERRORS: Final = ("failure", "timeout", "rejected")
# A ramp is short: it is judged by as many calls at most.
RAMP_REQUESTS: Final = 5
# A circuit without calls is forgotten after so many sleeps.
IDLE_SLEEPS: Final = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """When a circuit opens, and how it closes again. Times in seconds, shares 0 to 1.

    With at least `requests` calls in the `window` it opens when `errors` is reached, or when calls longer than
    `slow_over` reach `slow_share`. `consecutive` failures in a row replace the rule of `errors`; 0 is none. After
    `sleep` it is half-open: `probes` calls must succeed, or all of a `ramp` during which a growing share is let
    through.
    """

    window: float = 10.0
    requests: int = 20
    errors: float = 0.5
    sleep: float = 5.0
    slow_over: float = inf
    slow_share: float = 1.0
    consecutive: int = 0
    probes: int = 1
    ramp: float | None = None


class Snapshot(TypedDict):
    """A circuit as it is shown. Times in seconds: `age` of the state, `retry_after` until the next try.

    `calls`, `errors`, `error_share` (0 to 1) and `counts` (by `gateway.breaker.window.EVENTS`) are of the window,
    latencies of the last minute. `in_flight` counts calls under way, whenever they were let through.
    """

    state: State
    age: float
    retry_after: float
    in_flight: int
    calls: int
    errors: int
    error_share: float
    counts: dict[str, int]
    latency_mean: float
    latency: dict[str, float]


Listener = Callable[["Circuit", State, "dict[str, int] | None"], None]


class Permit:
    """What a call that is let through holds: the same for all calls between two changes of the circuit's state, so
    that a result from before the last change is known as such."""

    __slots__ = ("circuit",)

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit


class Circuit:
    """One circuit. Every permit comes back exactly once: by `succeeded`, `failed` or `released`.

    Mutable state: `state` since the monotonic time `since`, the `window`, `in_flight`, what came of the trial so far,
    and `permit`: what `allow` would give while calls flow freely, else None. A caller in a hurry takes it from there,
    and adds one to `in_flight`.
    `listener` is called after each change of state with the circuit, the state before, and the window's counts then, or
    None where another worker has made the change.
    `draw` gives random numbers, 0 to 1.
    """

    __slots__ = (
        "_current",
        "_draw",
        "_in_a_row",
        "_passed",
        "_probed_at",
        "_probing",
        "_slow_over",
        "in_flight",
        "listener",
        "name",
        "permit",
        "policy",
        "since",
        "state",
        "window",
    )

    def __init__(
        self,
        name: str,
        policy: Policy,
        now: float,
        listener: Listener | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.policy = policy
        self.window = Window(policy.window)
        self.state: State = "closed"
        self.since = now
        self.in_flight = 0
        self.listener = listener
        self._draw = draw
        self._slow_over = policy.slow_over
        self._probed_at = now
        self._begin()

    # calls

    def allow(self, now: float) -> Permit | None:
        """A permit for one call, or None: then it is refused, and counted as short-circuited."""
        if self.state == "open" and now - self.since >= self.policy.sleep:
            self._enter("half_open", now)
        elif self.state == "half_open" and self._ramped(now):
            self._enter("closed", now)
        if self.permit is None and not (self.state == "half_open" and self._tries(now)):
            self.window.add(SHORT_CIRCUITED, now)
            return None
        self.in_flight += 1
        return self._current

    def succeeded(self, permit: Permit, now: float, seconds: float) -> None:
        """The call brought an answer that is no failure, after `seconds`."""
        self.in_flight -= 1
        if permit is not self._current:
            return
        window = self.window
        if now >= window.until:
            window.advance(now)
        window.counts[SUCCESS] += 1
        window.latencies.append((now, seconds))
        self._in_a_row = 0
        slow = seconds > self._slow_over
        if slow:
            window.add(SLOW, now)
        if window.bad or self.permit is None:
            self._judge(now, not slow)

    def failed(self, permit: Permit, now: float, seconds: float, condition: str) -> None:
        """The call failed after `seconds`; `condition` is the word of `gateway.errors.Condition`, or `5xx`."""
        self.in_flight -= 1
        if permit is not self._current:
            return
        window = self.window
        window.add(EVENT_OF.get(condition, FAILURE), now)
        window.latencies.append((now, seconds))
        self._in_a_row += 1
        if seconds > self._slow_over:
            window.add(SLOW, now)
        self._judge(now, False)

    def released(self, permit: Permit) -> None:
        """The call says nothing about the upstream: its permit is free again, and nothing is counted."""
        self.in_flight -= 1
        if permit is self._current:
            self._probing -= 1

    def fell_back(self, good: bool, now: float) -> None:
        """A fallback stood in for an answer, or had nothing to give."""
        self.window.add(FALLBACK_SUCCESS if good else FALLBACK_FAILURE, now)

    # the operator's word

    def force(self, state: Force, now: float) -> None:
        """Hold it open or closed whatever calls bring; `auto` ends that, and the circuit is closed. ValueError for
        another word."""
        if state not in FORCES:
            raise ValueError(f"{state!r} is no state to force; give one of {', '.join(FORCES)}")
        if state != "auto":
            if state != self.state:
                self._enter(state, now)
        elif self.state in FORCES:
            self._enter("closed", now)

    def is_idle(self, now: float) -> bool:
        """Has there been no call for so long that a new circuit would know as much? Never while it is forced."""
        policy = self.policy
        if self.in_flight or self.state in FORCES or any(self.window.totals(now).values()):
            return False
        last = max(self.since, self.window.latencies[-1][0] if self.window.latencies else self.since)
        return now - last >= max(policy.window, IDLE_SLEEPS * policy.sleep)

    def leave(self) -> None:
        """It is not asked any more."""

    # what it shows

    def retry_after(self, now: float) -> float:
        """Seconds until calls may be let through again; the whole sleep where nobody knows."""
        if self.state == "forced_open":
            return self.policy.sleep
        return max(self.since + self.policy.sleep - now, 0.0) if self.state == "open" else 0.0

    def snapshot(self, now: float) -> Snapshot:
        """Everything about it as of `now`."""
        counts = self._totals(now)
        errors = sum([counts[event] for event in ERRORS])
        calls = counts["success"] + errors
        mean, percentiles = self.window.latency(now)
        return {
            "state": self.state,
            "age": max(now - self.since, 0.0),
            "retry_after": self.retry_after(now),
            "in_flight": self._under_way(),
            "calls": calls,
            "errors": errors,
            "error_share": errors / calls if calls else 0.0,
            "counts": counts,
            "latency_mean": mean,
            "latency": percentiles,
        }

    # decisions

    def _judge(self, now: float, good: bool) -> None:
        """A call of the present state has been counted; `good` is neither failed nor slow."""
        policy = self.policy
        if self.state == "closed":
            if self._is_bad(policy.requests):
                self._enter("open", now)
        elif self.state == "half_open" and policy.ramp is not None:
            if self._is_bad(min(policy.requests, RAMP_REQUESTS)):
                self._enter("open", now)
            elif self._ramped(now):
                self._enter("closed", now)
        elif self.state == "half_open":
            self._probing -= 1
            self._passed += good
            if not good:
                self._enter("open", now)
            elif self._passed >= policy.probes:
                self._enter("closed", now)

    def _is_bad(self, requests: int) -> bool:
        policy = self.policy
        calls, errors, slow, in_a_row = self._results()
        enough = calls >= requests
        if policy.consecutive:
            if in_a_row >= policy.consecutive:
                return True
        elif enough and errors / calls >= policy.errors:
            return True
        return enough and slow / calls >= policy.slow_share

    def _results(self) -> tuple[int, int, int, int]:
        """Calls, errors, slow calls, and failures in a row, as of the window's last event."""
        window = self.window
        return window.calls, window.errors, window.total(SLOW), self._in_a_row

    def _totals(self, now: float) -> dict[str, int]:
        """The counts of the window as of `now`."""
        return self.window.totals(now)

    def _under_way(self) -> int:
        """How many calls are."""
        return self.in_flight

    def _tries(self, now: float) -> bool:
        """May one more call go through while half-open?"""
        policy = self.policy
        if policy.ramp is not None:
            return self._draw() < (now - self.since) / policy.ramp
        # A probe that never ends, such as a stream of events, holds up the others for one sleep only.
        if self._probing >= policy.probes and now - self._probed_at < policy.sleep:
            return False
        self._probing += 1
        self._probed_at = now
        return True

    def _ramped(self, now: float) -> bool:
        return self.policy.ramp is not None and now - self.since >= self.policy.ramp

    def _enter(self, state: State, now: float) -> None:
        before, counts = self.state, self._totals(now)
        self.state = state
        self.since = now
        self._begin()
        if self.listener is not None:
            self.listener(self, before, counts)

    def _begin(self) -> None:
        """Nothing that was let through before counts in the state that begins."""
        self._current = Permit(self)
        self.permit = self._current if self.state in ("closed", "forced_closed") else None
        self._in_a_row = self._probing = self._passed = 0
        if self.state == "closed" or (self.state == "half_open" and self.policy.ramp is not None):
            self.window.forget_results()

    def __repr__(self) -> str:
        return f"<Circuit {self.name} {self.state}>"
