"""Each in turn, by weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import gcd
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.balance.round_robin import RoundRobin
from tests.support.choices import FakeChoice, make_choices

weights = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def picks(balance: RoundRobin, choices: Sequence[FakeChoice], count: int, avoid: Sequence[FakeChoice] = ()) -> str:
    return "".join(one.address if (one := balance.pick(choices, None, 0.0, avoid)) else "-" for _ in range(count))


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ((1, 1, 1), "abcabc"),
        ((3,), "aaa"),
        ((2, 1), "aabaab"),
        ((5, 1, 1), "aaabaac"),
        ((200, 100), "aabaab"),
    ],
)
def test_turns(weights: tuple[int, ...], turns: str) -> None:
    assert picks(RoundRobin(), make_choices(*weights), len(turns)) == turns


@given(weights, st.integers(1, 100), st.integers(1, 3))
def test_each_as_often_as_its_weight(weights: list[int], scale: int, rounds: int) -> None:
    turns = sum(weights) // gcd(*weights)
    counted = Counter(picks(RoundRobin(), make_choices(*(weight * scale for weight in weights)), turns * rounds))
    assert counted == {chr(97 + at): weight * rounds // gcd(*weights) for at, weight in enumerate(weights)}


@given(weights)
def test_turns_are_spread(weights: list[int]) -> None:
    choices = make_choices(*weights)
    turns = picks(RoundRobin(), choices, 3 * sum(weights))
    for one in choices:
        places = [place for place, address in enumerate(turns) if address == one.address]
        for start, end in pairwise(places):
            between = Counter(turns[start + 1 : end])
            for other in choices:
                assert between[other.address] <= other.weight // one.weight + 1


def test_many_weights_that_share_no_divisor() -> None:
    choices = make_choices(*range(9_901, 10_000))
    turns = picks(RoundRobin(), choices, 9_900)
    assert {turns.count(one.address) for one in choices} <= {99, 100, 101}


@given(weights, st.randoms(use_true_random=False))
def test_the_place_is_kept_when_the_choices_change(weights: list[int], random: Random) -> None:
    """New objects in another order, before each pick."""
    balance, choices = RoundRobin(), list(make_choices(*weights))
    counted: Counter[str] = Counter()
    for _ in range(sum(weights)):
        counted[picks(balance, choices, 1)] += 1
        choices = [FakeChoice(one.address, one.weight) for one in choices]
        random.shuffle(choices)
    assert counted == {one.address: one.weight for one in choices}


def test_one_that_comes_and_goes_skews_nothing() -> None:
    balance, choices = RoundRobin(), make_choices(1, 1, 1)
    counted = Counter("".join(picks(balance, choices[: 3 - number % 2], 1) for number in range(600)))
    assert abs(counted["a"] - counted["b"]) <= 1
    assert counted["c"] <= 200


def test_one_that_warms_up_gets_its_part() -> None:
    balance, part, counted = RoundRobin(), 0.0, Counter[str]()
    for weight in range(10, 101):
        counted.update(picks(balance, make_choices(100, weight), 7))
        part += 7 * weight / (100 + weight)
    assert counted["b"] == pytest.approx(part, abs=3)


def test_the_next_is_taken_in_place_of_one_to_avoid() -> None:
    balance, choices = RoundRobin(), make_choices(1, 1, 1)
    assert picks(balance, choices, 1, choices[:1]) == "b"
    assert picks(balance, choices, 4) == "cabc"
    assert picks(balance, choices, 3, choices[1:]) == "aaa"
    assert picks(balance, choices, 1, choices) == "-"


@given(weights, st.integers(0, 5))
def test_turns_that_were_avoided_do_not_come_back(weights: list[int], which: int) -> None:
    balance, choices = RoundRobin(), make_choices(*weights)
    one = choices[which % len(choices)]
    picks(balance, choices, 500, (one,))
    part = sum(weights) if len(weights) > 1 else weights[0]
    assert abs(picks(balance, choices, part).count(one.address) - one.weight) <= 1
