"""Places by key, in one process and in several workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.places import BoardPlaces, LocalPlaces, Places, make_places
from gateway.state.board import Board


def local() -> list[Places]:
    return [make_places(None, "a")] * 2


def shared() -> list[Places]:
    board = Board.create(2)
    return [make_places(board.take_seat(seat), "a") for seat in range(2)]


BOTH = pytest.mark.parametrize("made", [local, shared])


@BOTH
def test_so_many_and_no_more(made: Callable[[], list[Places]]) -> None:
    one, other = made()
    assert [one.take("key", 3), other.take("key", 3), one.take("key", 3)] == [True] * 3
    assert [one.take("key", 3), other.take("key", 3)] == [False] * 2
    assert other.take("another", 3)
    one.give_back("key")
    assert other.take("key", 3)


@BOTH
def test_taken_anyway_counts(made: Callable[[], list[Places]]) -> None:
    one, other = made()
    for places in (one, other, one):
        places.take_anyway("key")
    assert not other.take("key", 3)
    for places in (one, other, one):
        places.give_back("key")
    assert one.take("key", 1)


def test_another_space_counts_by_itself() -> None:
    board = Board.create(2)
    one, other = (BoardPlaces(board.take_seat(seat), "ab"[seat]) for seat in range(2))
    assert one.take("key", 1)
    assert other.take("key", 1)


STEPS = st.tuples(st.integers(0, 1), st.sampled_from(["a", ("a",), b"a", ("a", "b")]), st.booleans())


@given(st.integers(1, 3), st.lists(STEPS))
def test_any_order_leaves_nothing_behind(limit: int, steps: list[tuple[int, object, bool]]) -> None:
    for places, single in ((shared(), False), (local(), True)):
        taken: list[tuple[Places, object]] = []
        for seat, key, takes in steps:
            here = [(places[seat], key)] if (places[seat], key) in taken else []
            if takes:
                total = sum(other == key for _, other in taken)
                assert places[seat].take(key, limit) == (total < limit)
                taken += [(places[seat], key)] * (total < limit)
            elif here:
                places[seat].give_back(key)
                taken.remove(here[0])
        for one, key in taken:
            one.give_back(key)
        assert not any(places)
        assert isinstance(places[0], LocalPlaces) == single
        assert all(places[1].take(key, 1) for key in ("a", ("a",), b"a"))
