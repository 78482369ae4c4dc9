"""When a circuit opens, how it tries, and that what began before a change of state says nothing after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.breaker.circuit import Circuit, Permit, Policy, State

FOUR = Policy(requests=4)
START = 1000.0


def made(policy: Policy = FOUR, draw: float = 0.0) -> Circuit:
    return Circuit("item", policy, START, draw=lambda: draw)


def take(circuit: Circuit, now: float = START) -> Permit:
    permit = circuit.allow(now)
    assert permit is not None
    return permit


def call(circuit: Circuit, good: bool, now: float = START, seconds: float = 0.1, condition: str = "5xx") -> None:
    permit = take(circuit, now)
    if good:
        circuit.succeeded(permit, now, seconds)
    else:
        circuit.failed(permit, now, seconds, condition)


def calls(circuit: Circuit, results: str, now: float = START) -> None:
    """`+` is a success, `-` a failure."""
    for result in results:
        call(circuit, result == "+", now)


def opened(policy: Policy = FOUR, draw: float = 0.0) -> Circuit:
    circuit = made(policy, draw)
    while circuit.state == "closed":
        call(circuit, False)
    return circuit


def results(circuit: Circuit, now: float) -> tuple[int, int]:
    shown = circuit.snapshot(now)
    return shown["calls"], shown["errors"]


def test_defaults_are_those_of_hystrix() -> None:
    policy = Policy()

    assert (policy.window, policy.requests, policy.errors, policy.sleep, policy.probes) == (10.0, 20, 0.5, 5.0, 1)


# closed


@pytest.mark.parametrize(
    ("done", "state"),
    (
        ("---", "closed"),
        ("----", "open"),
        ("++--", "open"),
        ("+++-", "closed"),
        ("+++-+-", "closed"),
        ("+++---", "open"),
        # The fourth call makes it enough, though it is a good one.
        ("---+", "open"),
    ),
)
def test_it_opens_at_half_of_enough_calls(done: str, state: State) -> None:
    circuit = made()

    calls(circuit, done)

    assert circuit.state == state


@pytest.mark.parametrize(
    ("condition", "event"),
    (("5xx", "failure"), ("connect", "failure"), ("reset", "failure"), ("timeout", "timeout"), ("full", "rejected")),
)
def test_every_failure_is_an_error(condition: str, event: str) -> None:
    circuit = made()
    for _ in range(4):
        call(circuit, False, condition=condition)

    assert circuit.state == "open"
    assert circuit.snapshot(START)["counts"][event] == 4


def test_a_share_is_met_exactly() -> None:
    circuit = made(Policy(requests=100, errors=0.07))

    calls(circuit, "+" * 93 + "------")
    assert circuit.state == "closed"
    calls(circuit, "-")
    assert circuit.state == "open"


def test_old_failures_do_not_count() -> None:
    circuit = made()
    calls(circuit, "---")

    calls(circuit, "+++-", START + 10)

    assert circuit.state == "closed"


def test_failures_in_a_row() -> None:
    circuit = made(Policy(requests=1, errors=0.01, consecutive=3))

    calls(circuit, "--+--+--")
    assert circuit.state == "closed"
    calls(circuit, "-", START + 3600)
    assert circuit.state == "open"


def test_slow_calls_open_it_too() -> None:
    circuit = made(Policy(requests=5, slow_over=2.0, slow_share=0.8))
    for _ in range(4):
        call(circuit, True, seconds=2.1)
    assert circuit.state == "closed"

    call(circuit, True, seconds=2.0)

    assert circuit.state == "open"
    assert circuit.snapshot(START)["counts"]["slow"] == 4
    assert results(circuit, START) == (5, 0)


def test_slow_failures_are_slow_calls() -> None:
    circuit = made(Policy(requests=4, errors=1.0, slow_over=2.0, slow_share=0.5))

    call(circuit, False, seconds=3.0)
    call(circuit, False, seconds=3.0)
    calls(circuit, "++")

    assert circuit.state == "open"


def test_slow_calls_count_beside_failures_in_a_row() -> None:
    circuit = made(Policy(requests=2, consecutive=9, slow_over=2.0, slow_share=1.0))

    for _ in range(2):
        call(circuit, True, seconds=3.0)

    assert circuit.state == "open"


def test_a_released_call_counts_as_neither() -> None:
    circuit = made()
    for _ in range(10):
        circuit.released(take(circuit))

    assert (circuit.state, circuit.in_flight, results(circuit, START)) == ("closed", 0, (0, 0))


def test_the_permit_that_lies_ready_is_what_allow_gives() -> None:
    circuit = made()
    assert circuit.permit is take(circuit)

    assert opened().permit is None


# open


def test_an_open_circuit_refuses_and_counts_that_as_no_call() -> None:
    circuit = opened()

    assert [circuit.allow(START + 4.9) for _ in range(3)] == [None] * 3
    assert circuit.retry_after(START + 1.5) == 3.5
    shown = circuit.snapshot(START + 4.9)
    assert (shown["calls"], shown["errors"], shown["counts"]["short_circuited"]) == (4, 4, 3)


def test_what_ends_while_it_is_open_is_not_counted() -> None:
    circuit = made()
    late = [take(circuit) for _ in range(3)]
    calls(circuit, "----")

    circuit.succeeded(late[0], START + 1, 1.0)
    circuit.failed(late[1], START + 1, 1.0, "timeout")
    circuit.released(late[2])

    assert (circuit.state, circuit.in_flight) == ("open", 0)
    assert results(circuit, START + 1) == (4, 4)


# half-open with probes


def test_after_the_sleep_one_probe_decides() -> None:
    circuit = opened()
    probe = take(circuit, START + 5)
    assert circuit.state == "half_open"
    assert circuit.allow(START + 5) is None
    assert circuit.retry_after(START + 5) == 0.0

    circuit.succeeded(probe, START + 6, 1.0)

    assert (circuit.state, results(circuit, START + 6)) == ("closed", (0, 0))
    calls(circuit, "+++-", START + 6)
    assert circuit.state == "closed", "what was before the opening is forgotten"


def test_a_probe_that_fails_opens_it_for_another_sleep() -> None:
    circuit = opened()

    call(circuit, False, START + 5)

    assert circuit.state == "open"
    assert circuit.allow(START + 9.9) is None
    assert circuit.retry_after(START + 9) == 1.0
    call(circuit, True, START + 10)
    assert circuit.state == "closed"


def test_a_slow_probe_opens_it_again() -> None:
    circuit = opened(replace(FOUR, slow_over=2.0))

    call(circuit, True, START + 5, seconds=2.5)

    assert circuit.state == "open"


def test_several_probes() -> None:
    circuit = opened(replace(FOUR, probes=3))
    probes = [take(circuit, START + 5) for _ in range(3)]
    assert circuit.allow(START + 5) is None

    circuit.succeeded(probes[0], START + 5, 0.1)
    circuit.succeeded(probes[1], START + 5, 0.1)
    assert circuit.state == "half_open"
    last = take(circuit, START + 5)
    circuit.succeeded(last, START + 5, 0.1)
    assert circuit.state == "closed"
    circuit.failed(probes[2], START + 5, 0.1, "5xx")
    assert results(circuit, START + 5) == (0, 0)


def test_a_released_probe_leaves_its_place_to_another() -> None:
    circuit = opened()
    circuit.released(take(circuit, START + 5))
    assert circuit.state == "half_open"

    call(circuit, True, START + 5)

    assert circuit.state == "closed"


def test_a_probe_that_never_ends_holds_up_others_for_one_sleep() -> None:
    circuit = opened()
    endless = take(circuit, START + 5)
    assert circuit.allow(START + 9.9) is None

    call(circuit, True, START + 10)

    assert (circuit.state, circuit.in_flight) == ("closed", 1)
    circuit.failed(endless, START + 99, 94.0, "reset")
    assert (circuit.state, results(circuit, START + 99)) == ("closed", (0, 0))


def test_a_call_from_before_is_no_probe() -> None:
    circuit = made()
    old = [take(circuit) for _ in range(3)]
    calls(circuit, "----")
    probe = take(circuit, START + 5)

    circuit.succeeded(old[0], START + 5, 5.0)
    circuit.failed(old[1], START + 5, 5.0, "timeout")
    circuit.released(old[2])

    assert circuit.state == "half_open"
    assert circuit.allow(START + 5) is None, "the probe's place is still taken"
    circuit.succeeded(probe, START + 5, 0.1)
    assert circuit.state == "closed"


def test_a_call_from_before_is_not_counted_when_it_is_closed_again() -> None:
    circuit = made()
    old = [take(circuit) for _ in range(10)]
    calls(circuit, "----")
    call(circuit, True, START + 5)

    for permit in old:
        circuit.failed(permit, START + 6, 6.0, "timeout")

    assert (circuit.state, circuit.in_flight) == ("closed", 0)


# half-open with a ramp

RAMP = replace(FOUR, ramp=10.0)


@pytest.mark.parametrize(
    ("after", "draw", "through"),
    ((0.0, 0.0, False), (1.0, 0.09, True), (1.0, 0.1, False), (9.0, 0.89, True), (9.0, 0.95, False)),
)
def test_a_ramp_lets_a_growing_share_through(after: float, draw: float, through: bool) -> None:
    circuit = opened(RAMP, draw)
    circuit.allow(START + 5)
    assert circuit.state == "half_open"

    assert (circuit.allow(START + 5 + after) is not None) is through


def test_the_end_of_the_ramp_closes_it() -> None:
    circuit = opened(RAMP, draw=0.999)
    circuit.allow(START + 5)

    call(circuit, False, START + 15)

    assert circuit.state == "closed"
    assert results(circuit, START + 15) == (1, 1)


def test_a_call_that_ends_after_the_ramp_closes_it_too() -> None:
    circuit = opened(RAMP)
    circuit.allow(START + 5)
    permit = take(circuit, START + 14)

    circuit.succeeded(permit, START + 16, 2.0)

    assert circuit.state == "closed"


def test_a_ramp_is_judged_afresh_and_by_few_calls() -> None:
    circuit = opened(replace(RAMP, requests=20))
    circuit.allow(START + 5)

    calls(circuit, "++---", START + 6)

    assert circuit.state == "open"
    circuit = opened(RAMP)
    circuit.allow(START + 5)
    calls(circuit, "+++-", START + 6)
    assert circuit.state == "half_open"
    calls(circuit, "--", START + 6)
    assert circuit.state == "open"


def test_failures_in_a_row_end_a_ramp() -> None:
    circuit = opened(replace(RAMP, consecutive=2))
    circuit.allow(START + 5)

    calls(circuit, "-+-", START + 6)
    assert circuit.state == "half_open"
    calls(circuit, "-", START + 6)
    assert circuit.state == "open"


# the operator's word


def test_forced_open() -> None:
    circuit = made()
    late = take(circuit)
    circuit.force("forced_open", START)
    assert circuit.allow(START + 3600) is None
    assert circuit.retry_after(START + 3600) == 5.0
    circuit.succeeded(late, START + 3600, 1.0)
    assert circuit.state == "forced_open"

    circuit.force("auto", START + 3601)

    assert circuit.state == "closed"
    call(circuit, True, START + 3601)


def test_forced_closed() -> None:
    circuit = opened()
    circuit.force("forced_closed", START + 1)
    calls(circuit, "-" * 30, START + 1)
    assert (circuit.state, results(circuit, START + 1)) == ("forced_closed", (34, 34))

    circuit.force("auto", START + 2)

    assert (circuit.state, results(circuit, START + 2)) == ("closed", (0, 0))


def test_auto_ends_nothing_but_force() -> None:
    circuit = opened()

    circuit.force("auto", START + 1)

    assert (circuit.state, circuit.since) == ("open", START)


def test_another_word_is_refused() -> None:
    word: Any = "open"
    with pytest.raises(ValueError, match="forced_open, forced_closed, auto"):
        made().force(word, START)


# what it tells


def test_changes_are_told_with_the_counts_that_led_to_them() -> None:
    told: list[tuple[State, State, int]] = []
    circuit = Circuit(
        "item", FOUR, START, lambda one, before, counts: told.append((before, one.state, counts["failure"]))
    )
    calls(circuit, "+---")
    call(circuit, True, START + 5)
    circuit.force("forced_open", START + 6)
    circuit.force("forced_open", START + 7)
    circuit.force("auto", START + 8)

    assert told == [
        ("closed", "open", 3),
        ("open", "half_open", 3),
        ("half_open", "closed", 3),
        ("closed", "forced_open", 0),
        ("forced_open", "closed", 0),
    ]


def test_a_snapshot_says_everything() -> None:
    circuit = made()
    for seconds in (0.1, 0.2, 0.3):
        call(circuit, True, seconds=seconds)
    call(circuit, False, seconds=1.0, condition="timeout")
    circuit.fell_back(True, START)
    circuit.fell_back(False, START)
    take(circuit)

    shown = circuit.snapshot(START + 2)

    assert (shown["state"], shown["age"], shown["retry_after"], shown["in_flight"]) == ("closed", 2.0, 0.0, 1)
    assert (shown["calls"], shown["errors"], shown["error_share"]) == (4, 1, 0.25)
    assert shown["counts"] == {
        "success": 3,
        "failure": 0,
        "timeout": 1,
        "rejected": 0,
        "slow": 0,
        "short_circuited": 0,
        "fallback_success": 1,
        "fallback_failure": 1,
    }
    assert (shown["latency_mean"], shown["latency"]["50"], shown["latency"]["100"]) == (pytest.approx(0.4), 0.2, 1.0)


def test_a_snapshot_of_one_that_was_never_asked() -> None:
    shown = made().snapshot(START)

    assert (shown["calls"], shown["error_share"], shown["latency_mean"]) == (0, 0.0, 0.0)


# interleavings

AFTER = {
    "closed": {"open", "forced_open", "forced_closed"},
    "open": {"half_open", "forced_open", "forced_closed"},
    "half_open": {"open", "closed", "forced_open", "forced_closed"},
    "forced_open": {"closed", "forced_closed"},
    "forced_closed": {"closed", "forced_open"},
}


class Interleavings(RuleBasedStateMachine):
    """Calls that begin and end in any order, across changes of state. `out` holds each permit with the number of
    changes that there had been when it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.changes = 0
        self.passed = 0
        self.probed_at = START
        self.out: list[tuple[Permit, int]] = []
        self.circuit = Circuit("item", Policy(requests=3, probes=2), START, self.changed)

    def changed(self, circuit: Circuit, before: State, counts: dict[str, int]) -> None:
        assert circuit.state in AFTER[before]
        if (before, circuit.state) == ("half_open", "closed"):
            assert self.passed == 2, "it closes for the probes of this trial alone"
        self.changes += 1
        self.passed = 0

    @rule(seconds=st.floats(0.1, 6.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        state = self.circuit.state
        permit = self.circuit.allow(self.now)
        if permit is None:
            assert state in ("open", "half_open", "forced_open")
            return
        assert self.circuit.state in ("closed", "half_open", "forced_closed")
        if self.circuit.state == "half_open":
            others = sum(change == self.changes for _, change in self.out)
            assert others < 2 or self.now - self.probed_at >= 5.0
            self.probed_at = self.now
        self.out.append((permit, self.changes))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), result=st.sampled_from(("succeeded", "failed", "released")))
    def end(self, data: st.DataObject, result: str) -> None:
        permit, change = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        circuit = self.circuit
        before = (circuit.state, circuit.since, circuit.snapshot(self.now)["counts"])
        stale = change != self.changes
        if not stale and circuit.state == "half_open":
            self.passed += result == "succeeded"
        if result == "succeeded":
            circuit.succeeded(permit, self.now, 0.1)
        elif result == "failed":
            circuit.failed(permit, self.now, 0.1, "5xx")
        else:
            circuit.released(permit)
        after = (circuit.state, circuit.since, circuit.snapshot(self.now)["counts"])
        if stale or result == "released":
            assert before == after

    @rule(state=st.sampled_from(("forced_open", "forced_closed", "auto")))
    def force(self, state: Any) -> None:
        self.circuit.force(state, self.now)

    @invariant()
    def every_call_is_known(self) -> None:
        assert self.circuit.in_flight == len(self.out)

    def teardown(self) -> None:
        """Whatever happened: with an upstream that is well again it closes."""
        self.circuit.force("auto", self.now)
        for _ in range(3):
            self.now += 20.0
            permit = self.circuit.allow(self.now)
            if permit is not None:
                self.passed += self.circuit.state == "half_open"
                self.circuit.succeeded(permit, self.now, 0.1)
        assert self.circuit.state == "closed"


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
