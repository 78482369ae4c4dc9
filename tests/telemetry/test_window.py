"""Rates over the last minutes, with time passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.window import RateWindow


def filled(*times: float) -> RateWindow:
    window = RateWindow()
    for time in times:
        window.add(time)
    return window


def test_a_rate_is_what_came_divided_by_the_time() -> None:
    window = filled(*[1000.0] * 60)

    assert (window.rate(1000.0, 60), window.rate(1000.0, 300)) == (1.0, 0.2)


def test_what_is_too_old_does_not_count() -> None:
    window = filled(1000.0, 1000.0, 1030.0)

    assert window.rate(1059.0, 60) * 60 == 3
    assert window.rate(1065.0, 60) * 60 == 1
    assert window.rate(1065.0, 300) * 300 == 3
    assert window.rate(2000.0, 300) == 0


def test_the_oldest_bucket_fades() -> None:
    window = filled(*[1000.0] * 10)

    assert window.rate(1061.0, 60) * 60 == pytest.approx(8)
    assert window.rate(1064.0, 60) * 60 == pytest.approx(2)


def test_a_steady_rate_is_found() -> None:
    window = filled(*(number / 10 for number in range(4000)))

    assert window.rate(399.9, 60) == pytest.approx(10, rel=0.1)
    assert window.rate(399.9, 300) == pytest.approx(10, rel=0.1)


def test_a_ring_that_was_gone_round_is_clean() -> None:
    window = filled(1000.0, 1000.0 + 305.0)

    assert window.rate(1305.0, 300) * 300 == pytest.approx(1)


def test_time_that_runs_back_counts_as_now() -> None:
    window = filled(1000.0, 990.0)

    assert window.rate(1000.0, 5) * 5 == 2


@pytest.mark.parametrize("seconds", (0, 3, 305, -5))
def test_only_whole_buckets_are_asked_for(seconds: int) -> None:
    with pytest.raises(ValueError, match="a multiple of 5"):
        RateWindow().rate(0.0, seconds)


@given(st.lists(st.floats(0, 2000), max_size=200), st.floats(0, 2000))
def test_a_rate_is_right_to_a_bucket(times: list[float], now: float) -> None:
    times = sorted(time for time in times if time <= now)
    window = filled(*times)

    surely = sum(1 for time in times if time > now - 55)
    perhaps = sum(1 for time in times if time > now - 65)
    assert surely * 0.999 <= window.rate(now, 60) * 60 <= perhaps * 1.001


def test_windows_of_different_ages_are_added_up() -> None:
    mine, other = RateWindow(), RateWindow()
    mine.add(300.0)
    for now in (0.0, 280.0, 299.0):
        other.add(now)

    mine.absorb(other, 301.0)

    assert mine.rate(301.0, 60) == 3 / 60
    mine.add(301.0)
    assert mine.rate(301.0, 5) == pytest.approx(2.8 / 5)
