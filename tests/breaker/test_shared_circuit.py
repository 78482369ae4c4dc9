"""Workers that keep a circuit together: they count together, change once, and have one probe."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.breaker.circuit import Circuit, Permit, Policy, State
from gateway.breaker.shared_circuit import SharedCircuit
from gateway.state.board import Board, Seat

START = 1000.0
FOUR = Policy(requests=4)
Told = list[tuple[int, State, State, dict[str, int] | None]]


def circuit_at(seat: Seat, policy: Policy = FOUR, told: Told | None = None, now: float = START) -> SharedCircuit:
    record = seat.record("items")
    assert record is not None

    def listen(circuit: Circuit, before: State, counts: dict[str, int] | None) -> None:
        if told is not None:
            told.append((seat.number, before, circuit.state, counts))

    return SharedCircuit("items", policy, now, record, listen, draw=lambda: 0.0)


def workers(number: int = 2, policy: Policy = FOUR, told: Told | None = None) -> list[SharedCircuit]:
    board = Board.create(number)
    return [circuit_at(board.take_seat(seat), policy, told) for seat in range(number)]


def tick(circuits: Sequence[SharedCircuit], now: float = START) -> None:
    for circuit in circuits:
        circuit.exchange(now)


def take(circuit: Circuit, now: float = START) -> Permit:
    permit = circuit.allow(now)
    assert permit is not None
    return permit


def calls(circuit: Circuit, results: str, now: float = START, seconds: float = 0.1) -> None:
    """`+` is a success, `-` a failure."""
    for result in results:
        permit = take(circuit, now)
        if result == "+":
            circuit.succeeded(permit, now, seconds)
        else:
            circuit.failed(permit, now, seconds, "5xx")


def states(circuits: Sequence[Circuit]) -> set[State]:
    return {circuit.state for circuit in circuits}


def opened(number: int = 2, policy: Policy = FOUR, told: Told | None = None) -> list[SharedCircuit]:
    circuits = workers(number, policy, told)
    while circuits[0].state == "closed":
        calls(circuits[0], "-")
    tick(circuits)
    return circuits


def test_failures_of_several_open_it() -> None:
    told: Told = []
    circuits = workers(4, told=told)
    for circuit in circuits:
        calls(circuit, "-")
    assert states(circuits) == {"closed"}

    tick(circuits)
    tick(circuits)

    assert states(circuits) == {"open"}
    assert {circuit.since for circuit in circuits} == {START}
    changes = [change for change in told if change[3] is not None]
    assert [(before, state, counts and counts["failure"]) for _, before, state, counts in changes] == [
        ("closed", "open", 4)
    ], "one has made the change, and says what all have counted"
    assert len(told) == 4, "all know of it"


def test_successes_of_others_speak_for_it() -> None:
    circuits = workers()
    calls(circuits[1], "+++++")
    tick(circuits)
    tick(circuits)
    calls(circuits[0], "----")
    assert states(circuits) == {"closed"}
    calls(circuits[0], "-")
    assert circuits[0].state == "open"


def test_one_failure_is_enough_where_others_have_counted_the_rest() -> None:
    circuits = workers()
    calls(circuits[1], "---")
    tick(circuits)
    tick(circuits)
    calls(circuits[0], "-")
    assert circuits[0].state == "open"


def test_what_others_counted_ends_with_the_window() -> None:
    circuits = workers()
    calls(circuits[1], "---")
    tick(circuits)
    tick(circuits, START + 10.5)
    tick(circuits, START + 10.5)
    calls(circuits[0], "-", START + 10.5)
    assert circuits[0].state == "closed"
    assert circuits[0].snapshot(START + 10.5)["counts"]["failure"] == 1


def test_slow_calls_count_together() -> None:
    circuits = workers(policy=replace(FOUR, slow_over=2.0, slow_share=1.0))
    for circuit in circuits:
        calls(circuit, "++", seconds=3.0)
        tick(circuits)
    tick(circuits)
    assert states(circuits) == {"open"}


def test_failures_in_a_row_are_those_of_all() -> None:
    circuits = workers(3, Policy(requests=100, consecutive=5))
    for circuit in circuits[:2]:
        calls(circuit, "--")
    tick(circuits)
    tick(circuits)
    calls(circuits[2], "+")
    tick(circuits)
    tick(circuits)
    calls(circuits[0], "--")
    tick(circuits)
    calls(circuits[1], "--")
    tick(circuits)
    assert states(circuits) == {"closed"}, "a success anywhere ends what went before it"
    calls(circuits[2], "-")
    tick(circuits)
    tick(circuits)
    assert states(circuits) == {"open"}


def test_own_success_ends_what_others_have_told() -> None:
    circuits = workers(2, Policy(requests=100, consecutive=4))
    calls(circuits[0], "---")
    tick(circuits)
    tick(circuits)
    calls(circuits[1], "+")
    circuits[1].exchange(START)
    calls(circuits[1], "-")
    assert states(circuits) == {"closed"}


# half-open


def test_there_is_one_probe_for_all() -> None:
    told: Told = []
    circuits = opened(3, told=told)
    probe = take(circuits[1], START + 5)
    for circuit in circuits:
        assert circuit.allow(START + 5) is None
        assert circuit.state == "half_open"
    circuits[1].succeeded(probe, START + 5.1, 0.1)
    tick(circuits, START + 5.1)
    assert states(circuits) == {"closed"}
    assert [(seat, state) for seat, _, state, counts in told if counts is not None] == [
        (0, "open"),
        (1, "half_open"),
        (1, "closed"),
    ]


def test_a_probe_that_fails_opens_it_for_all() -> None:
    circuits = opened()
    calls(circuits[1], "-", START + 5)
    tick(circuits, START + 5)
    assert states(circuits) == {"open"}
    assert [circuit.retry_after(START + 6) for circuit in circuits] == [4.0, 4.0]
    assert circuits[0].allow(START + 9.9) is None
    calls(circuits[0], "+", START + 10)
    assert circuits[0].state == "closed"


def test_several_probes_wherever_they_are() -> None:
    circuits = opened(3, replace(FOUR, probes=3))
    probes = [(circuit, take(circuit, START + 5)) for circuit in circuits]
    assert [circuit.allow(START + 5) for circuit in circuits] == [None] * 3
    for circuit, probe in probes[:2]:
        circuit.succeeded(probe, START + 5, 0.1)
    assert states(circuits) == {"half_open"}
    assert circuits[0].allow(START + 5) is not None, "two have passed, and the third place is not the last one's"
    circuits[2].succeeded(probes[2][1], START + 5, 0.1)
    tick(circuits, START + 5)
    assert states(circuits) == {"closed"}


def test_a_released_probe_leaves_its_place_to_another_worker() -> None:
    one, other = opened()
    one.released(take(one, START + 5))
    take(other, START + 5)
    assert one.allow(START + 5) is None


def test_a_probe_that_never_ends_holds_up_all_for_one_sleep() -> None:
    one, other = opened()
    take(one, START + 5)
    assert other.allow(START + 9.9) is None
    calls(other, "+", START + 10)
    one.exchange(START + 10)
    assert one.state == other.state == "closed"


def test_a_probe_that_dies_holds_up_nobody() -> None:
    board = Board.create(2)
    one, other = (circuit_at(board.take_seat(seat)) for seat in range(2))
    calls(one, "----")
    tick([one, other])
    take(one, START + 5)
    assert other.allow(START + 5) is None
    board.clear_seat(0)
    calls(other, "+", START + 5.5)
    assert other.state == "closed"


def test_two_that_try_at_the_same_moment() -> None:
    """Each has taken a place before it looks: neither is a probe, and the next one is."""
    circuits = opened()
    take(circuits[0], START + 5)
    circuits[0].released(circuits[0]._current)
    tick(circuits, START + 5)
    others = circuits[1]._record.others

    def meanwhile() -> list[tuple[float, ...]]:
        if circuits[1]._probing and not circuits[0]._probing:
            circuits[0]._probing = 1
            circuits[0]._tell()
        return others()

    circuits[1]._record = Meanwhile(circuits[1]._record, meanwhile)  # type: ignore[assignment]
    assert circuits[1].allow(START + 5) is None
    assert circuits[1]._probing == 0


class Meanwhile:
    """A record whose reader is not alone."""

    def __init__(self, record: Any, others: Any) -> None:
        self.tell = record.tell
        self.others = others


def test_a_ramp_is_judged_by_all_and_ends_for_all() -> None:
    circuits = opened(2, replace(FOUR, ramp=10.0))
    circuits[0].allow(START + 5)
    tick(circuits, START + 6)
    assert states(circuits) == {"half_open"}
    for circuit in circuits:
        calls(circuit, "--", START + 7)
    tick(circuits, START + 7)
    tick(circuits, START + 7)
    assert states(circuits) == {"open"}

    circuits[1].allow(START + 13)
    tick(circuits, START + 13)
    calls(circuits[0], "+", START + 23)
    tick(circuits, START + 23)
    assert states(circuits) == {"closed"}


# changes


def test_the_operators_word_reaches_all_and_holds_against_anything() -> None:
    told: Told = []
    circuits = opened(told=told)
    # While one is told, the other closes it.
    probe = take(circuits[0], START + 5)
    circuits[1].force("forced_open", START + 5)
    circuits[0].succeeded(probe, START + 5, 0.1)
    tick(circuits, START + 5)
    assert states(circuits) == {"forced_open"}
    circuits[0].force("auto", START + 6)
    tick(circuits, START + 6)
    assert states(circuits) == {"closed"}
    circuits[0].force("auto", START + 6)
    with pytest.raises(ValueError, match="no state to force"):
        circuits[0].force("open", START + 6)  # type: ignore[arg-type]
    calls(circuits[1], "----", START + 6)
    tick(circuits, START + 6)
    assert states(circuits) == {"open"}, "what comes after it is as before it"


def test_of_two_changes_at_once_one_holds() -> None:
    circuits = opened()
    probes = [take(circuits[0], START + 5)]
    circuits[0]._probing = 0
    circuits[0]._tell()
    probes.append(take(circuits[1], START + 5))
    records = [circuit._record for circuit in circuits]
    for circuit, record in zip(circuits, records, strict=True):
        circuit._record = Meanwhile(record, list)  # type: ignore[assignment]
    circuits[0].succeeded(probes[0], START + 5, 0.1)
    circuits[1].failed(probes[1], START + 5, 0.1, "5xx")
    for circuit, record in zip(circuits, records, strict=True):
        circuit._record = record
    assert [circuit.state for circuit in circuits] == ["closed", "open"]
    tick(circuits, START + 5)
    assert states(circuits) == {"open"}


def test_the_operators_word_holds_against_changes_that_were_not_told_yet() -> None:
    circuits = workers()
    record = circuits[0]._record
    circuits[0]._record = Meanwhile(record, list)  # type: ignore[assignment]
    calls(circuits[0], "----")
    calls(circuits[0], "+", START + 5)
    calls(circuits[0], "----", START + 5)
    others = circuits[1]._record
    circuits[1]._record = Meanwhile(others, list)  # type: ignore[assignment]
    circuits[1].force("forced_closed", START + 5)
    circuits[0]._record, circuits[1]._record = record, others
    tick(circuits, START + 5)
    assert states(circuits) == {"forced_closed"}


def test_what_was_counted_before_a_change_is_not_shown_after_it() -> None:
    circuits = workers()
    calls(circuits[0], "--")
    circuits[0].fell_back(True, START)
    tick(circuits)
    assert circuits[1].snapshot(START)["counts"]["failure"] == 2
    circuits[1].force("forced_open", START)
    circuits[1].force("auto", START)
    shown = circuits[1].snapshot(START)["counts"]
    assert (shown["failure"], shown["fallback_success"]) == (0, 1)


def test_calls_under_way_are_told_though_nothing_is_counted() -> None:
    circuits = workers()
    tick(circuits)
    tick(circuits)
    permit = take(circuits[0])
    tick(circuits)
    assert circuits[1].snapshot(START)["in_flight"] == 1
    circuits[0].released(permit)
    tick(circuits)
    assert circuits[1].snapshot(START)["in_flight"] == 0


def test_what_began_before_another_worker_changed_it_says_nothing() -> None:
    circuits = workers()
    late = [take(circuits[1]) for _ in range(3)]
    calls(circuits[0], "----")
    tick(circuits)
    circuits[1].failed(late[0], START + 1, 1.0, "timeout")
    circuits[1].succeeded(late[1], START + 1, 1.0)
    circuits[1].released(late[2])
    tick(circuits, START + 1)
    assert (circuits[1].in_flight, circuits[1].snapshot(START + 1)["calls"]) == (0, 4)


def test_one_that_comes_later_knows_what_the_others_know() -> None:
    board = Board.create(2)
    first = circuit_at(board.take_seat(0))
    first.force("forced_open", START)
    second = circuit_at(board.take_seat(1), now=START + 50)
    assert (second.state, second.since, second.permit) == ("forced_open", START, None)


def test_one_that_left_is_not_heard() -> None:
    one, other = workers()
    one.leave()
    calls(one, "----")
    other.exchange(START)
    assert (one.state, other.state) == ("open", "closed")


def test_a_snapshot_shows_what_all_have() -> None:
    circuits = workers()
    calls(circuits[0], "+-")
    circuits[0].fell_back(True, START)
    take(circuits[0])
    calls(circuits[1], "+")
    take(circuits[1])
    tick(circuits)
    for circuit in circuits:
        shown = circuit.snapshot(START)
        assert (shown["calls"], shown["errors"], shown["in_flight"]) == (3, 1, 2)
        assert shown["counts"]["fallback_success"] == 1


def test_a_tick_without_news_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    circuits = workers()
    calls(circuits[0], "+")
    tick(circuits)
    tick(circuits)
    counted: list[SharedCircuit] = []
    monkeypatch.setattr(SharedCircuit, "_count", lambda circuit: counted.append(circuit))
    tick(circuits)
    assert not counted
    calls(circuits[0], "+")
    tick(circuits)
    assert counted == circuits


class Together(RuleBasedStateMachine):
    """Three workers in any order, with ticks now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.board = Board.create(3)
        policy = Policy(requests=3, probes=2)
        self.circuits = [circuit_at(self.board.take_seat(seat), policy) for seat in range(3)]
        self.out: list[tuple[int, Permit]] = []

    @rule(seconds=st.floats(0.01, 6.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seat=st.integers(0, 2))
    def begin(self, seat: int) -> None:
        permit = self.circuits[seat].allow(self.now)
        if permit is not None:
            self.out.append((seat, permit))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), result=st.sampled_from(("succeeded", "failed", "released")))
    def end(self, data: st.DataObject, result: str) -> None:
        seat, permit = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        circuit = self.circuits[seat]
        if result == "succeeded":
            circuit.succeeded(permit, self.now, 0.1)
        elif result == "failed":
            circuit.failed(permit, self.now, 0.1, "5xx")
        else:
            circuit.released(permit)

    @rule(seat=st.integers(0, 2))
    def tick(self, seat: int) -> None:
        self.circuits[seat].exchange(self.now)

    @rule(seat=st.integers(0, 2), state=st.sampled_from(("forced_open", "forced_closed", "auto")))
    def force(self, seat: int, state: Any) -> None:
        self.circuits[seat].force(state, self.now)

    @rule(seat=st.integers(0, 2))
    def die(self, seat: int) -> None:
        """And another worker takes the seat."""
        self.board.clear_seat(seat)
        self.circuits[seat] = circuit_at(self.board.take_seat(seat), Policy(requests=3, probes=2), now=self.now)
        self.out = [(other, permit) for other, permit in self.out if other != seat]

    @invariant()
    def calls_are_known_and_states_agree_when_all_have_told(self) -> None:
        for seat, circuit in enumerate(self.circuits):
            assert circuit.in_flight == sum(other == seat for other, _ in self.out)
        ranks = {circuit._rank: circuit.state for circuit in self.circuits}
        for circuit in self.circuits:
            assert ranks[circuit._rank] == circuit.state, "one rank is one state"

    def teardown(self) -> None:
        """Whatever happened: all come to the same, and with an upstream that is well again they close."""
        self.circuits[0].force("auto", self.now)
        for circuit in itertools.chain(self.circuits, self.circuits):
            circuit.exchange(self.now)
        assert len(states(self.circuits)) == 1
        for _ in range(4):
            self.now += 20.0
            for circuit in self.circuits:
                permit = circuit.allow(self.now)
                if permit is not None:
                    circuit.succeeded(permit, self.now, 0.1)
        tick(self.circuits, self.now)
        assert states(self.circuits) == {"closed"}


TestTogether = Together.TestCase
TestTogether.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
