"""How many of each thing there are in all workers."""

from __future__ import annotations

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.tallies import BUCKETS, WAYS, Tallies, Tally

SEATS = 3
MARK = 7 << 40
CROWD = [(number * BUCKETS << 20) + 9 for number in range(1, 2 * WAYS)]


def made() -> Tallies:
    return Tallies(mmap.mmap(-1, 64 + SEATS * Tallies.SIZE), 64, SEATS)


def seated(mark: int = MARK, tallies: Tallies | None = None) -> list[Tally]:
    shared = tallies or made()
    return [Tally(shared, seat, mark) for seat in range(SEATS)]


def test_the_total_is_that_of_all() -> None:
    tallies = seated()
    for number, tally in enumerate(tallies):
        tally.put(number + 1)
    assert [tally.total() for tally in tallies] == [6] * SEATS
    tallies[1].put(0)
    assert [tally.total() for tally in tallies] == [4] * SEATS


def test_no_more_than_the_limit() -> None:
    tallies = seated()
    assert [tallies[number % SEATS].take(4) for number in range(6)] == [True] * 4 + [False] * 2
    assert [tally.own for tally in tallies] == [2, 1, 1]
    tallies[0].put(1)
    assert tallies[2].take(4)
    assert not tallies[0].take(4)


def test_two_at_the_same_moment_both_give_back(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, _ = seated()
    put = Tally.put

    def meanwhile(tally: Tally, number: int) -> None:
        put(tally, number)
        if tally is one and number == 1:
            put(other, 1)

    monkeypatch.setattr(Tally, "put", meanwhile)
    assert not one.take(1)
    assert (one.own, one.total()) == (0, 1)


def test_things_of_one_bucket_do_not_mix() -> None:
    tallies = made()
    crowd = [Tally(tallies, seat, mark) for seat in range(SEATS) for mark in CROWD[:WAYS]]
    for number, tally in enumerate(crowd):
        tally.put(number + 1)
    assert [tally.total() for tally in crowd[:WAYS]] == [3 * n + 3 + 3 * WAYS for n in range(WAYS)]
    for tally in crowd:
        tally.put(0)
    assert {tally.total() for tally in crowd} == {0}


def test_one_that_finds_no_cell_counts_here_alone() -> None:
    tallies = made()
    crowd = [Tally(tallies, 0, mark) for mark in CROWD]
    for tally in crowd:
        assert tally.take(1)
        assert not tally.take(1)
    assert [Tally(tallies, 1, mark).total() for mark in CROWD] == [1] * WAYS + [0] * (len(CROWD) - WAYS)
    crowd[0].put(0)
    crowd[-1].put(2)
    assert Tally(tallies, 1, CROWD[-1]).total() == 2
    assert crowd[-1].total() == 2


def test_a_seat_that_is_cleared_has_nothing() -> None:
    shared = made()
    tallies = seated(tallies=shared)
    others = seated(CROWD[0], shared)
    for tally in (*tallies, *others):
        tally.put(2)
    shared.clear(1)
    assert (tallies[0].total(), others[0].total()) == (4, 4)
    assert tallies[0].take(5)


STEPS = st.tuples(st.integers(0, SEATS - 1), st.sampled_from(CROWD[:10]), st.booleans())


@given(st.integers(1, 4), st.lists(STEPS, max_size=80))
def test_any_order_of_taking_and_giving_back(limit: int, steps: list[tuple[int, int, bool]]) -> None:
    """A bucket of one seat may be full here: what its owner counts alone is then all that is missing."""
    shared = made()
    tallies = {(seat, mark): Tally(shared, seat, mark) for seat in range(SEATS) for mark in CROWD[:10]}
    crowded = False
    for seat, mark, takes in steps:
        tally = tallies[seat, mark]
        before = tally.total()
        if takes:
            assert tally.take(limit) == (before < limit)
        elif tally.own:
            tally.put(tally.own - 1)
            assert tally.total() == before - 1
        here = [one for (_, other), one in tallies.items() if other == mark]
        assert all(one.own <= one.total() <= sum(other.own for other in here) for one in here)
        living = [sum(one.own > 0 for (at, _), one in tallies.items() if at == seat) for seat in range(SEATS)]
        crowded = crowded or max(living) > WAYS
        if not crowded:
            assert {one.total() for one in here} == {sum(one.own for one in here)}
