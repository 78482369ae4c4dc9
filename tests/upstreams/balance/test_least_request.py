"""The less busy of two."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.balance.least_request import LeastRequest
from tests.support.choices import FakeChoice, make_choices

loads = st.lists(st.integers(0, 5), min_size=2, max_size=6)


@given(loads, st.randoms(use_true_random=False))
def test_the_busiest_is_never_picked(in_flight: list[int], random: Random) -> None:
    choices = [FakeChoice(str(place), 1, busy) for place, busy in enumerate([*in_flight, 6])]
    balance = LeastRequest(random.random)
    assert choices[-1] not in [balance.pick(choices, None, 0.0) for _ in range(20)]


@pytest.mark.parametrize(
    ("loads", "picked"),
    [
        # (weight, in flight) of both
        ([(1, 1), (1, 0)], "b"),
        ([(1, 2), (1, 3)], "a"),
        ([(2, 2), (1, 1)], "a"),
        ([(2, 4), (1, 1)], "b"),
        ([(10, 1), (1, 0)], "a"),
        ([(10, 10), (1, 0)], "b"),
    ],
)
@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_busy_is_relative_to_the_weight(loads: list[tuple[int, int]], picked: str, draw: float) -> None:
    choices = [FakeChoice(address, *load) for address, load in zip("ab", loads, strict=True)]
    one = LeastRequest(lambda: draw).pick(choices, None, 0.0)
    assert one is not None
    assert one.address == picked


@pytest.mark.parametrize("in_flight", [(0, 0), (3, 3)])
def test_of_equals_the_one_drawn_first(in_flight: tuple[int, int]) -> None:
    choices = [FakeChoice(address, 1, busy) for address, busy in zip("ab", in_flight, strict=True)]
    assert LeastRequest(lambda: 0.0).pick(choices, None, 0.0) is choices[0]
    assert LeastRequest(lambda: 0.999).pick(choices, None, 0.0) is choices[1]


def test_one_request_at_a_time_goes_by_weight() -> None:
    choices, balance = make_choices(3, 1), LeastRequest(Random(1).random)
    counted = Counter(balance.pick(choices, None, 0.0) for _ in range(4000))
    assert counted[choices[1]] / 4000 == pytest.approx(0.25, abs=0.03)


def test_many_at_a_time_go_by_weight() -> None:
    choices, balance = make_choices(1, 1, 2, 4), LeastRequest(Random(1).random)
    for _ in range(800):
        one = balance.pick(choices, None, 0.0)
        assert one is not None
        one.in_flight += 1
    assert [one.in_flight for one in choices] == [pytest.approx(100 * one.weight, rel=0.05) for one in choices]
