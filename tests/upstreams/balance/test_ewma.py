"""The one of two that is likely to answer sooner."""

from __future__ import annotations

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.balance.ewma import DECAY, Ewma, Latency
from tests.support.choices import FakeChoice, make_choices

seconds = st.floats(0.0001, 60)
times = st.floats(0, 100)


def measured(*observations: tuple[float, float]) -> Latency:
    latency = Latency()
    for took, now in observations:
        latency.observe(took, now)
    return latency


def balance_of(choices: tuple[FakeChoice, ...], latencies: list[float], draw: float = 0.0) -> Ewma:
    """One that has measured them at 0 s."""
    balance = Ewma(lambda: draw)
    balance.pick(choices, None, 0.0)
    for choice, latency in zip(choices, latencies, strict=True):
        balance.observe(choice, latency, 0.0)
    return balance


@given(st.lists(st.tuples(seconds, times), min_size=1))
def test_an_average_stays_between_the_last_and_the_highest(observations: list[tuple[float, float]]) -> None:
    latency = measured(*observations)
    assert latency.seconds is not None
    assert observations[-1][0] - 1e-9 <= latency.seconds <= max(took for took, _ in observations) + 1e-9


@given(seconds, seconds, times)
def test_a_rise_counts_at_once_and_a_fall_decays(before: float, after: float, passed: float) -> None:
    kept = exp(-passed / DECAY) if after < before else 0.0
    assert measured((before, 0.0), (after, passed)).seconds == pytest.approx(before * kept + after * (1 - kept))


def test_an_observation_that_comes_late_changes_nothing() -> None:
    assert measured((1.0, 5.0), (0.1, 4.0)).seconds == 1.0


@pytest.mark.parametrize(
    ("weight", "in_flight", "now", "cost"),
    [
        (1, 0, 0.0, 2.0),
        (1, 3, 0.0, 8.0),
        (4, 3, 0.0, 2.0),
        (1, 0, DECAY, 2 / exp(1)),
        (1, 0, -1.0, 2.0),
    ],
)
def test_cost(weight: int, in_flight: int, now: float, cost: float) -> None:
    assert measured((2.0, 0.0)).cost(FakeChoice("a", weight, in_flight), now) == pytest.approx(cost)


@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_the_faster_one(draw: float) -> None:
    choices = make_choices(1, 1)
    balance = balance_of(choices, [0.3, 0.1], draw)
    assert balance.pick(choices, None, 0.0) is choices[1]
    choices[1].in_flight = 3
    assert balance.pick(choices, None, 0.0) is choices[0]


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_slowest_is_never_picked(latencies: list[float], random: Random) -> None:
    choices = make_choices(*[1] * (len(latencies) + 1))
    balance = Ewma(random.random)
    balance.pick(choices, None, 0.0)
    for choice, latency in zip(choices, [*latencies, 1.5], strict=True):
        balance.observe(choice, latency, 0.0)
    assert choices[-1] not in [balance.pick(choices, None, 0.0) for _ in range(20)]


@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_one_never_measured_is_tried_by_one_request_at_a_time(draw: float) -> None:
    choices = make_choices(1, 1)
    balance = Ewma(lambda: draw)
    balance.pick(choices, None, 0.0)
    balance.observe(choices[0], 0.001, 0.0)
    assert balance.pick(choices, None, 0.0) is choices[1]
    choices[1].in_flight = 1
    assert balance.pick(choices, None, 0.0) is choices[0]


@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_none_measured_yet(draw: float) -> None:
    choices = make_choices(1, 1)
    choices[0].in_flight = 1
    assert Ewma(lambda: draw).pick(choices, None, 0.0) is choices[1]


def test_one_that_was_slow_is_tried_again() -> None:
    choices = make_choices(1, 1)
    balance = balance_of(choices, [0.1, 1.0])
    for now in range(100):
        if balance.pick(choices, None, float(now)) is choices[1]:
            break
        balance.observe(choices[0], 0.1, float(now))
    # After 10 s * ln(1.0 / 0.1), and one more for the other's own decay since its last observation.
    assert now == 25


def test_latencies_are_kept_for_those_that_stay_only() -> None:
    choices = make_choices(1, 1, 1)
    balance = balance_of(choices, [0.1, 0.3, 0.2])
    assert balance.pick(choices[1:], None, 0.0) is choices[2]
    balance.observe(choices[0], 0.1, 0.0)
    # The first one is as good as new, and so the cheapest.
    choices[0].in_flight = 1
    assert balance.pick(choices[:2], None, 0.0) is choices[1]
