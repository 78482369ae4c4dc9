"""Which endpoint is next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.balance.round_robin import RoundRobin, smooth_cycle


@dataclass
class One:
    name: str
    weight: int = 1
    usable: bool = True


def usable(one: One) -> bool:
    return one.usable


def picks(balance: RoundRobin, ones: list[One], count: int) -> str:
    return "".join(one.name if (one := balance.pick(ones, usable)) else "-" for _ in range(count))


@pytest.mark.parametrize(
    ("weights", "cycle"),
    [
        ((1, 1), (0, 1)),
        ((5, 1, 1), (0, 0, 1, 0, 2, 0, 0)),
        ((2, 4), (1, 0, 1)),
        ((0, 1), (1,)),
        ((0, 0), ()),
        ((3,), (0,)),
    ],
)
def test_smooth_cycle(weights: tuple[int, ...], cycle: tuple[int, ...]) -> None:
    assert smooth_cycle(weights) == cycle


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any))
def test_each_as_often_as_its_weight(weights: list[int]) -> None:
    counted = Counter(smooth_cycle(tuple(weights)))
    total = sum(weights)
    for position, weight in enumerate(weights):
        assert counted[position] * total == weight * sum(counted.values())


def test_in_turn() -> None:
    assert picks(RoundRobin(), [One("a"), One("b"), One("c")], 7) == "abcabca"


def test_unusable_ones_are_passed_over() -> None:
    balance, ones = RoundRobin(), [One("a"), One("b", usable=False), One("c")]
    assert picks(balance, ones, 4) == "acac"
    ones[1].usable = True
    assert sorted(picks(balance, ones, 3)) == ["a", "b", "c"]
    for one in ones:
        one.usable = False
    assert balance.pick(ones, usable) is None


def test_choices_may_change() -> None:
    balance = RoundRobin()
    assert picks(balance, [One("a"), One("b")], 3) == "aba"
    assert picks(balance, [One("a")], 2) == "aa"
    assert balance.pick([], usable) is None
    assert picks(balance, [One("a", 2), One("b")], 6).count("a") == 4
