"""The straight path and the other one decide the same, by the rule of GCRA."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.limits import local
from gateway.limits.board import BoardGate
from gateway.limits.decisions import Decisions
from gateway.limits.gcra import LocalLimiter, Policy
from gateway.limits.headers import LimitHeaders
from gateway.limits.keys import key_of
from gateway.limits.local import JointGate, LocalGate
from gateway.limits.rate import Rate
from gateway.limits.verdicts import Verdicts
from gateway.plugin import GatewayError
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_exchange, make_head

TENTH = Policy("tenth", Rate(10, 1.0), 3)
HOUR = Policy("hour", Rate(4, 3600.0), 4)


def verdicts(*policies: Policy, enforces: bool = True) -> Verdicts:
    decisions = Decisions(Metrics(), "x_total", "Text.", enforces)
    return Verdicts(policies, LimitHeaders(policies, ("draft",)), decisions)


def single(policy: Policy, clock: FakeClock, by: str = "client_ip", enforces: bool = True) -> LocalGate:
    return LocalGate(policy, key_of((by,)), verdicts(policy, enforces=enforces), clock)


def joint(clock: FakeClock, *policies: tuple[Policy, str]) -> JointGate:
    limits = [policy for policy, _ in policies]
    return JointGate(
        [LocalLimiter(policy) for policy in limits], [key_of((by,)) for _, by in policies], verdicts(*limits), clock
    )


def asked(gate: LocalGate | BoardGate | JointGate, exchange: Exchange | None = None) -> str:
    """`r` of each policy, after + or -."""
    exchange = exchange or make_exchange()
    told: Verdicts = gate._verdicts
    try:
        gate.on_request(exchange)
        sign = "+"
    except GatewayError:
        sign = "-"
    head = make_head()
    told.replace(exchange, head)
    head.add_all(exchange.told)
    return sign + ",".join(member.partition("r=")[2] for member in (head.headers.get("RateLimit") or "").split(", "))


def test_one_policy_passes_its_burst_and_then_its_rate() -> None:
    clock = FakeClock()
    gate = single(TENTH, clock)
    assert [asked(gate) for _ in range(5)] == ["+2;t=1", "+1;t=1", "+0;t=1", "-0;t=1", "-0;t=1"]
    clock.advance(0.1)
    assert [asked(gate) for _ in range(2)] == ["+0;t=1", "-0;t=1"]
    clock.advance(10)
    assert asked(gate) == "+2;t=1"


def test_the_wait_is_told_anew_each_time_when_nothing_is_left() -> None:
    clock = FakeClock()
    gate = single(Policy("slow", Rate(3, 60.0), 2), clock)
    assert [asked(gate) for _ in range(2)] == ["+1;t=20", "+0;t=20"]
    clock.advance(30)
    assert asked(gate) == "+0;t=10"


def test_observed_it_passes_everything_and_takes_nothing_for_it() -> None:
    clock = FakeClock()
    gate = single(TENTH, clock, enforces=False)
    for _ in range(50):
        gate.on_request(make_exchange())
    clock.advance(0.1)
    gate.on_request(make_exchange())
    decisions = gate._verdicts.decisions
    counters: list[Any] = [decisions.allowed["test"], decisions.observed["test"], decisions.limited["test"]]
    assert [counter.value for counter in counters] == [4, 47, 0]


def test_several_policies_take_all_or_nothing() -> None:
    clock = FakeClock()
    gate = joint(clock, (TENTH, "client_ip"), (HOUR, "route"))
    assert asked(gate) == "+2;t=1,3;t=900"
    assert [asked(gate) for _ in range(3)] == ["+1;t=1,2;t=1800", "+0;t=1,1;t=2700", "-0;t=1"]
    clock.advance(0.3)
    assert asked(gate) == "+2;t=1,0;t=900"
    # The hour is used up: the tenth must not be taken from.
    assert [asked(gate) for _ in range(3)] == ["-0;t=900"] * 3
    assert asked(gate, make_exchange(route="other")) == "+1;t=1,3;t=900"


def test_the_longest_wait_is_told() -> None:
    clock = FakeClock()
    gate = joint(clock, (TENTH, "client_ip"), (Policy("one", Rate(1, 60.0), 1), "client_ip"))
    gate.on_request(make_exchange())
    with pytest.raises(GatewayError) as caught:
        gate.on_request(make_exchange())
    assert caught.value.retry_after == pytest.approx(60, abs=0.1)


def test_ready_fields_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LEVELS", 5)
    gate = single(Policy("wide", Rate(100, 1.0), 100), FakeClock())
    assert [asked(gate) for _ in range(100)] == [f"+{left};t=1" for left in range(99, -1, -1)]
    assert len(gate._ready) <= 5


@given(
    amount=st.integers(1, 20),
    burst=st.integers(1, 10),
    cost=st.integers(1, 3),
    steps=st.lists(st.tuples(st.floats(0, 2), st.sampled_from(["192.0.2.1", "::1", "::2", "192.0.2.2"])), max_size=60),
)
def test_both_ways_follow_the_rule(amount: int, burst: int, cost: int, steps: list[tuple[float, str]]) -> None:
    clock = FakeClock()
    policy = Policy("p", Rate(amount, 1.0), max(burst, cost), cost)
    straight, other = single(policy, clock), joint(clock, (policy, "client_ip"))
    rule, function = LocalLimiter(policy), key_of(("client_ip",))
    for gap, address in steps:
        clock.advance(gap * policy.emission)
        exchange = make_exchange(client_ip=address)
        key, now = function(exchange), clock.now()
        passes = rule.room(key, now) >= rule.step
        if passes:
            rule.take(key, now)
        told = asked(straight, make_exchange(client_ip=address))
        assert told == asked(other, exchange)
        assert told.startswith("+") == passes
        assert told[1:].startswith(f"{policy.remaining(rule.room(key, now))};")
