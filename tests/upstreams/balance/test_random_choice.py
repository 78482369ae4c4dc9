"""By chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.balance.random_choice import RandomChoice, weight_sums
from tests.support.choices import make_choices

weights = st.lists(st.integers(1, 9), min_size=1, max_size=5)
LAST = 1 - 2**-53


def drawing(*draws: float) -> Callable[[], float]:
    return iter(draws).__next__


def slots(count: int) -> list[float]:
    """One draw for each of `count` equal parts of [0, 1)."""
    return [(slot + 0.5) / count for slot in range(count)]


@given(weights)
def test_each_as_likely_as_its_weight(weights: list[int]) -> None:
    choices, total = make_choices(*weights), sum(weights)
    balance = RandomChoice(drawing(*slots(total)))
    counted = Counter(balance.pick(choices, None, 0.0) for _ in range(total))
    assert counted == {one: one.weight for one in choices}


@given(weights)
def test_two_are_drawn_by_weight_and_differ(weights: list[int]) -> None:
    choices, total = make_choices(*weights), sum(weights)
    likely: Counter[tuple[str, str]] = Counter()
    for first in slots(total):
        one = RandomChoice(drawing(first)).pick(choices, None, 0.0)
        assert one is not None
        others = total - one.weight or 1
        for second in slots(others):
            pair = RandomChoice(drawing(first, second)).pick_two(choices)
            assert pair is not None
            assert pair[0] is one
            likely[one.address, pair[1].address] += Fraction(1, total * others)
    expected = {
        (one.address, other.address): Fraction(one.weight * other.weight, total * (total - one.weight))
        for one in choices
        for other in choices
        if other is not one
    }
    assert likely == (expected or {("a", "a"): 1})


@given(weights, st.sets(st.integers(0, 4)), st.randoms(use_true_random=False))
def test_two_of_what_is_left(weights: list[int], avoided: set[int], random: Random) -> None:
    choices = make_choices(*weights)
    avoid = [one for place, one in enumerate(choices) if place in avoided]
    left = set(choices) - set(avoid)
    pair = RandomChoice(random.random).pick_two(choices, avoid)
    if pair is None:
        assert not left
    else:
        assert set(pair) <= left
        assert len(set(pair)) == min(2, len(left))


def test_what_is_avoided_leaves_its_part_to_the_others_by_weight() -> None:
    choices = make_choices(6, 1, 3)
    balance = RandomChoice(Random(1).random)
    counted = Counter(balance.pick(choices, None, 0.0, choices[:1]) for _ in range(4000))
    assert counted[choices[2]] / 4000 == pytest.approx(0.75, abs=0.03)
    assert counted[choices[0]] == 0


@pytest.mark.parametrize("weights", [(1,), (1, 1), (1 << 20, 1), (1, 1 << 20), (3, 3, 3), (1 << 40, 1, 7)])
def test_the_last_draw_is_still_inside(weights: tuple[int, ...]) -> None:
    choices = make_choices(*weights)
    assert RandomChoice(lambda: LAST).pick(choices, None, 0.0) is choices[-1]
    assert RandomChoice(drawing(0.0, LAST)).pick_two(choices) == (choices[0], choices[-1])


def test_weight_sums() -> None:
    assert weight_sums(make_choices(3, 1, 2)) == [3, 4, 6]
