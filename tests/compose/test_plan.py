"""What needs what, and ways round."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.compose.plan import Part, Plan, find_cycle
from gateway.compose.template import Scope, TargetTemplate

TARGET = TargetTemplate("/", Scope(frozenset(), {}))


def plan_of(*needs: tuple[int, ...]) -> Plan:
    parts = (
        Part(f"p{number}", number, f"r/p{number}", "up", TARGET, needs=needed) for number, needed in enumerate(needs)
    )
    return Plan("r", tuple(parts))


def test_who_begins_and_who_follows() -> None:
    plan = plan_of((1, 2), (), (1,), ())
    assert [part.name for part in plan.first] == ["p1", "p3"]
    assert plan.waits == (2, 0, 1, 0)
    assert [[part.name for part in followers] for followers in plan.followers] == [[], ["p0", "p2"], ["p0"], []]
    assert plan.timings % (1, 2, 3.25, 4) == "p0;dur=1.0, p1;dur=2.0, p2;dur=3.2, p3;dur=4.0"


@pytest.mark.parametrize(
    ("needs", "cycle"),
    [
        ([], []),
        ([()], []),
        ([(0,)], [0, 0]),
        ([(1,), (0,)], [0, 1, 0]),
        ([(1,), (2,), (1,)], [1, 2, 1]),
        ([(1, 2), (2,), ()], []),
        ([(1,), (2,), (3,), (0,)], [0, 1, 2, 3, 0]),
        ([(), (0, 2), (3,), (0, 1)], [1, 2, 3, 1]),
    ],
)
def test_ways_round(needs: list[tuple[int, ...]], cycle: list[int]) -> None:
    assert find_cycle(needs) == cycle


def is_cyclic(needs: Sequence[Sequence[int]]) -> bool:
    """Kahn's way: what needs nothing that is left is taken away, until nothing is or nothing can be."""
    left = set(range(len(needs)))
    while free := {number for number in left if not left & set(needs[number])}:
        left -= free
    return bool(left)


@given(
    st.integers(1, 8).flatmap(lambda size: st.lists(st.sets(st.integers(0, size - 1)), min_size=size, max_size=size))
)
def test_a_way_round_is_found_where_there_is_one(needs: list[set[int]]) -> None:
    cycle = find_cycle([sorted(needed) for needed in needs])
    assert bool(cycle) is is_cyclic([sorted(needed) for needed in needs])
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in needs[before] for before, after in itertools.pairwise(cycle))
        assert len(set(cycle)) == len(cycle) - 1


def test_wide_plans_are_looked_at_once() -> None:
    # Layers of two, each part needing both of the layer below: there are a million ways down.
    needs: list[tuple[int, ...]] = [(), ()]
    for below in range(0, 40, 2):
        needs += [(below, below + 1)] * 2
    assert find_cycle(needs) == []
    assert find_cycle([*needs[:-1], (len(needs) - 1,)]) == [len(needs) - 1] * 2
