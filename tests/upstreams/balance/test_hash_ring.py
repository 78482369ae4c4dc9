"""Requests with the same key go to the same endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.routing.request_key import request_key, stable_hash
from gateway.testing import make_exchange
from gateway.upstreams.balance.hash_ring import MOST_POINTS, POINTS, HashRing, point_counts
from tests.support.choices import FakeChoice, make_choices

KEY = request_key("header", "x-user")
USERS = [make_exchange(headers={"X-User": f"user-{number}"}) for number in range(2000)]

some_weights = st.lists(st.integers(1, 200), min_size=1, max_size=6)
users = st.sampled_from(USERS)


def places(ring: HashRing, choices: Sequence[FakeChoice]) -> list[str]:
    """Where each user goes."""
    return [one.address if (one := ring.pick(choices, user, 0.0)) else "-" for user in USERS]


def moves(before: list[str], after: list[str]) -> set[tuple[str, str]]:
    return {(old, new) for old, new in zip(before, after, strict=True) if old != new}


def placed(
    ring: HashRing, choices: Sequence[FakeChoice], user: Exchange | None, avoid: Sequence[FakeChoice] = ()
) -> str:
    one = ring.pick(choices, user, 0.0, avoid)
    return "-" if one is None else one.address


def test_a_key_goes_to_the_next_point() -> None:
    choices = make_choices(1, 1, 1)[1:]
    points = sorted((stable_hash(f"{one.address}#{number}"), one.address) for one in choices for number in range(160))
    keys = [stable_hash(f"user-{number}") for number in range(len(USERS))]
    assert max(keys) > points[-1][0], "no key goes round to the first point"
    assert points[0][1] != points[-1][1]
    assert places(HashRing(KEY), choices) == [
        next((address for point, address in points if point > key), points[0][1]) for key in keys
    ]


@pytest.mark.parametrize("weights", [(1,) * 10, (100,) * 10, (1, 2, 5), (100, 200, 500)])
def test_keys_are_shared_out_by_weight(weights: tuple[int, ...]) -> None:
    choices = make_choices(*weights)
    counted = Counter(places(HashRing(KEY), choices))
    for one in choices:
        assert counted[one.address] / len(USERS) == pytest.approx(one.weight / sum(weights), rel=0.35)


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (100, 100, 100, 100), (100, 70, 120, 10)])
@pytest.mark.parametrize("gone", range(4))
def test_one_that_goes_takes_only_its_keys_along(weights: tuple[int, ...], gone: int) -> None:
    choices = make_choices(*weights)
    ring = HashRing(KEY)
    before = places(ring, choices)
    left = choices[:gone] + choices[gone + 1 :]
    moved = moves(before, places(ring, left))
    assert {old for old, _ in moved} == {choices[gone].address}
    assert {new for _, new in moved} == {one.address for one in left}
    assert places(ring, choices) == before


@pytest.mark.parametrize("scale", [1, 100])
def test_one_that_comes_takes_its_part_from_each(scale: int) -> None:
    choices = make_choices(*[scale] * 5)
    ring = HashRing(KEY)
    before, after = places(ring, choices[:4]), places(ring, choices)
    moved = moves(before, after)
    assert moved == {(one.address, "e") for one in choices[:4]}
    assert after.count("e") / len(USERS) == pytest.approx(1 / 5, rel=0.3)


def test_one_that_warms_up_takes_keys_and_gives_none() -> None:
    ring = HashRing(KEY)
    before = places(ring, make_choices(100, 100, 10))
    assert 0 < before.count("c") < 200
    for weight in (11, 40, 64, 99, 100):
        after = places(ring, make_choices(100, 100, weight))
        assert {new for _, new in moves(before, after)} <= {"c"}
        before = after
    assert before.count("c") > 500


@given(some_weights, users, st.randoms(use_true_random=False), st.lists(some_weights, max_size=3))
def test_the_order_and_the_past_do_not_matter(
    weights: list[int], user: Exchange, random: Random, past: list[list[int]]
) -> None:
    choices = list(make_choices(*weights))
    ring = HashRing(KEY)
    for old in past:
        ring.pick(make_choices(*old), user, 0.0)
    expected = placed(HashRing(KEY), tuple(choices), user)
    random.shuffle(choices)
    assert placed(ring, choices, user) == expected


@given(st.integers(2, 6), users, st.sets(st.integers(0, 5)))
def test_who_is_avoided_is_as_good_as_gone(count: int, user: Exchange, avoided: set[int]) -> None:
    choices = make_choices(*[1] * count)
    avoid = [one for place, one in enumerate(choices) if place in avoided]
    left = tuple(one for one in choices if one not in avoid)
    assert placed(HashRing(KEY), choices, user, avoid) == placed(HashRing(KEY), left, user)


@pytest.mark.parametrize("exchange", [None, make_exchange()])
def test_no_key_is_by_chance_and_weight(exchange: Exchange | None) -> None:
    choices = make_choices(3, 1)
    ring = HashRing(KEY, draw=iter([0.0, 0.74, 0.75, 0.99]).__next__)
    assert "".join(placed(ring, choices, exchange) for _ in range(4)) == "aabb"


@given(some_weights, st.sampled_from([1.0, 1.25, 2.0]), st.integers(1, 30), st.randoms(use_true_random=False))
def test_nobody_has_more_than_its_part_and_some(weights: list[int], max_load: float, keys: int, random: Random) -> None:
    choices = make_choices(*weights)
    ring = HashRing(KEY, max_load)
    for total in range(1, 60):
        one = ring.pick(choices, USERS[random.randrange(keys)], 0.0)
        assert one is not None
        one.in_flight += 1
        assert one.in_flight <= ceil(max_load * total * one.weight / sum(weights))


def test_a_key_stays_while_its_endpoint_is_not_too_busy() -> None:
    choices = make_choices(1, 1, 1)
    bounded, unbounded = HashRing(KEY, 1.25), HashRing(KEY)
    for one in choices:
        one.in_flight = 4
    assert places(bounded, choices) == places(unbounded, choices)
    home = unbounded.pick(choices, USERS[0], 0.0)
    assert home is not None
    home.in_flight = 6
    assert bounded.pick(choices, USERS[0], 0.0) is home  # the seventh of ceil(1.25 * 15 / 3) = 7
    home.in_flight = 7
    assert placed(bounded, choices, USERS[0]) == placed(unbounded, choices, USERS[0], [home])


def test_all_too_busy_but_those_to_avoid() -> None:
    choices = make_choices(1, 1, 1)
    ring = HashRing(KEY, 1.25)
    for one in choices[1:]:
        one.in_flight = 9
    expected = placed(HashRing(KEY), choices, USERS[0], choices[:1])
    assert placed(ring, choices, USERS[0], choices[:1]) == expected
    assert placed(ring, choices, USERS[0]) == "a"


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        ([], []),
        ([1, 1], [160, 160]),
        ([100, 100], [250, 250]),
        ([2, 1], [160, 80]),
        ([1000, 1], [312, 1]),
        ([1] * 300, [40] * 300),
    ],
)
def test_point_counts(weights: list[int], counts: list[int]) -> None:
    assert point_counts(weights) == counts


@given(st.lists(st.integers(1, 10_000), max_size=300))
def test_points_are_bounded_and_by_weight(weights: list[int]) -> None:
    counts = point_counts(weights)
    assert len(counts) == len(weights)
    assert all(count >= 1 for count in counts)
    assert sum(counts) <= MOST_POINTS + len(weights)
    if weights:
        heaviest = max(counts)
        assert heaviest <= 2 * POINTS
        assert heaviest >= POINTS or sum(counts) * 2 > MOST_POINTS - 2 * len(weights)
        for weight, count in zip(weights, counts, strict=True):
            assert count == pytest.approx(heaviest * weight / max(weights), abs=1)
