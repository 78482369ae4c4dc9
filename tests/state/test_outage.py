"""When a store is taken as down, and who may try it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.outage import PAUSE, Outage


@pytest.fixture
def outage() -> Outage:
    return Outage(pause=0.5)


def test_a_new_store_is_tried_by_one(outage: Outage) -> None:
    assert not outage.up
    assert [outage.may_try(7.0), outage.may_try(7.0), outage.may_try(99.0)] == [True, False, False]


def test_a_store_that_answered_needs_no_try(outage: Outage) -> None:
    outage.may_try(0.0)
    outage.tried(0.1, True)

    assert outage.up
    assert not outage.may_try(99.0)


def test_a_store_that_is_lost_is_left_alone_for_the_pause(outage: Outage) -> None:
    outage.tried(0.0, True)
    outage.lost(10.0)

    assert not outage.up
    assert [outage.may_try(10.0), outage.may_try(10.49), outage.may_try(10.5), outage.may_try(10.6)] == [
        False,
        False,
        True,
        False,
    ]


def test_a_try_that_failed_begins_the_pause_anew(outage: Outage) -> None:
    outage.may_try(0.0)
    outage.tried(2.0, False)

    assert [outage.may_try(2.4), outage.may_try(2.5)] == [False, True]


def test_calls_that_began_before_the_outage_change_nothing(outage: Outage) -> None:
    outage.tried(0.0, True)
    outage.lost(1.0)
    outage.lost(1.4)
    assert outage.may_try(1.5)
    outage.lost(1.6)

    assert not outage.may_try(99.0), "the try is still under way"


@given(
    st.lists(
        st.tuples(st.sampled_from(["lost", "good", "bad"]), st.sampled_from([0, 0.125, 0.25, 0.5, 1])), max_size=50
    )
)
def test_there_is_never_a_second_try(steps: list[tuple[str, float]]) -> None:
    outage, now, trying, last = Outage(), 0.0, False, -PAUSE
    for step, seconds in steps:
        now += seconds
        if step == "lost":
            last = now if outage.up else last
            outage.lost(now)
        elif trying:
            outage.tried(now, step == "good")
            trying, last = False, now
        if outage.may_try(now):
            assert not trying
            assert not outage.up
            assert now - last >= PAUSE
            trying = True
        assert outage.up or trying or now < last + PAUSE


def test_it_shows_its_state(outage: Outage) -> None:
    assert repr(outage) == "<Outage down>"
    outage.tried(0.0, True)
    assert repr(outage) == "<Outage up>"
