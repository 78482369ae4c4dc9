"""Slots of rate limits: found again, free when their time is over, and never a bucket that lets less through."""

from __future__ import annotations

import mmap

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.rate_table import SLOTS, WAYS, RateTable

NOW = 1000.0
# All of one bucket.
CROWD = [number * SLOTS + 5 for number in range(1, 3 * WAYS)]


def made() -> RateTable:
    return RateTable(mmap.mmap(-1, RateTable.SIZE))


def take(table: RateTable, mark: int, until: float, now: float = NOW) -> int:
    slot = table.find(mark, now)
    table.tats[slot] = until
    return slot


def test_a_mark_is_found_again_in_every_view() -> None:
    memory = mmap.mmap(-1, RateTable.SIZE)
    one, other = RateTable(memory), RateTable(memory)
    slots = [take(one, mark, NOW + mark) for mark in CROWD[:WAYS]]
    assert len(set(slots)) == WAYS
    assert [other.find(mark, NOW) for mark in CROWD[:WAYS]] == slots
    assert [other.tats[slot] for slot in slots] == [NOW + mark for mark in CROWD[:WAYS]]


def test_the_first_slot_is_where_one_looks_first() -> None:
    table = made()
    for mark in (1, SLOTS - 1, SLOTS, (1 << 64) - 1, 12345678901234567):
        slot = table.find(mark, NOW)
        assert slot == mark & table.first
        assert table.marks[slot] == mark


def test_a_new_one_starts_with_nothing_taken() -> None:
    table = made()
    first = take(table, CROWD[0], NOW + 1)
    assert table.find(CROWD[1], NOW + 2) == first, "a bucket that is full again says nothing"
    assert table.tats[first] == 0.0


def test_where_all_live_the_one_that_ends_first_goes() -> None:
    table = made()
    for number, mark in enumerate(CROWD[:WAYS]):
        take(table, mark, NOW + 10 + (number - 3) ** 2)
    slot = table.find(CROWD[WAYS], NOW)
    assert table.tats[slot] == 0.0
    kept = [mark for mark in CROWD[:WAYS] if table.tats[table.find(mark, NOW)]]
    assert CROWD[3] not in kept


def test_one_that_stands_twice_is_the_first() -> None:
    """Two workers have brought it at once."""
    table = made()
    first = CROWD[0] & table.first
    table.marks[first + 2] = table.marks[first + 5] = CROWD[0]
    table.tats[first + 5] = NOW + 9
    assert table.find(CROWD[0], NOW) == first + 2


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(CROWD), st.floats(0, 3)), max_size=80))
def test_an_interleaving_of_views_forgets_only_in_favour_of_the_client(steps: list[tuple[int, int, float]]) -> None:
    memory = mmap.mmap(-1, RateTable.SIZE)
    views = RateTable(memory), RateTable(memory)
    taken: dict[int, float] = {}
    now = NOW
    for view, mark, gap in steps:
        now += gap
        table = views[view]
        slot = table.find(mark, now)
        assert table.marks[slot] == mark
        known = max(taken.get(mark, 0.0), now)
        assert max(table.tats[slot], now) in (known, now), "its own, or none, and never another's"
        if sum(until > now for until in taken.values()) < WAYS:
            assert max(table.tats[slot], now) == known, "while there is room nobody is forgotten"
        taken[mark] = table.tats[slot] = max(table.tats[slot], now) + 1.0
