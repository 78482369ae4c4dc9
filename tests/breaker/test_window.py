"""Counts and latencies of the last seconds, with time passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.breaker.window import (
    BUCKETS,
    EVENTS,
    FAILURE,
    FALLBACK_SUCCESS,
    PERCENTILES,
    REJECTED,
    SHORT_CIRCUITED,
    SLOW,
    SUCCESS,
    TIMEOUT,
    Window,
)


def filled(*events: tuple[int, float], seconds: float = 10.0) -> Window:
    window = Window(seconds)
    for event, at in events:
        window.add(event, at)
    return window


def with_latencies(*latencies: tuple[float, float]) -> Window:
    window = Window(10.0)
    window.latencies.extend(latencies)
    return window


def test_calls_and_errors_are_what_hystrix_counts() -> None:
    window = filled(*((event, 1000.0) for event in range(len(EVENTS))))

    assert window.totals(1000.0) == dict.fromkeys(EVENTS, 1)
    assert (window.calls, window.errors) == (4, 3)


def test_a_slow_call_is_counted_as_what_it_was_too() -> None:
    window = filled((SUCCESS, 1.0), (SLOW, 1.0), (TIMEOUT, 1.0), (SLOW, 1.0))

    assert (window.calls, window.errors, window.total(SLOW), window.bad) == (2, 1, 2, 3)


def test_what_is_older_than_the_window_is_gone() -> None:
    window = filled((FAILURE, 1000.0), (SUCCESS, 1005.0))

    assert window.totals(1009.9)["failure"] == 1
    assert window.totals(1010.0)["failure"] == 0
    assert (window.calls, window.errors, window.bad) == (1, 0, 0)
    assert window.totals(1015.0)["success"] == 0
    assert window.calls == 0


def test_a_long_silence_leaves_nothing() -> None:
    window = filled((FAILURE, 1000.0), (SLOW, 1000.0), (SUCCESS, 5000.0))

    assert (window.calls, window.bad) == (1, 0)


def test_time_that_runs_back_counts_as_now() -> None:
    window = filled((SUCCESS, 1000.0), (FAILURE, 900.0))

    assert (window.calls, window.errors) == (2, 1)
    assert window.totals(900.0)["failure"] == 1


def test_a_caller_in_a_hurry_counts_the_same() -> None:
    window = Window(10.0)
    for at in (1000.0, 1000.5, 1001.0, 1009.0, 1010.5):
        if at >= window.until:
            window.advance(at)
        window.counts[SUCCESS] += 1

    assert window.calls == 3


def test_results_are_forgotten_and_the_rest_is_not() -> None:
    events = [(event, at) for at in (1000.0, 1004.0) for event in range(len(EVENTS))]
    window = filled(*events)

    window.forget_results()

    assert (window.calls, window.errors, window.bad) == (0, 0, 0)
    shown = window.totals(1004.0)
    assert {name: count for name, count in shown.items() if count} == {
        "short_circuited": 2,
        "fallback_success": 2,
        "fallback_failure": 2,
    }
    window.add(REJECTED, 1005.0)
    assert (window.totals(1013.5)["short_circuited"], window.errors) == (1, 1)


@pytest.mark.parametrize("seconds", (10.0, 1.0, 0.3, 60.0))
@given(st.data())
def test_a_window_holds_the_last_ten_buckets(seconds: float, data: st.DataObject) -> None:
    times = st.lists(st.tuples(st.sampled_from(range(len(EVENTS))), st.floats(0, 20 * seconds)), max_size=60)
    events = sorted(data.draw(times), key=lambda one: one[1])
    now = max([at for _, at in events], default=0.0) + data.draw(st.floats(0, 2 * seconds))
    window = filled(*events, seconds=seconds)

    width = seconds / BUCKETS
    alive = [event for event, at in events if int(at / width) > int(now / width) - BUCKETS]
    totals = window.totals(now)
    assert totals == {name: alive.count(event) for event, name in enumerate(EVENTS)}
    assert window.bad == sum(FAILURE <= event <= SLOW for event in alive)
    assert window.errors == sum(event in (FAILURE, TIMEOUT, REJECTED) for event in alive)
    assert window.calls == window.errors + alive.count(SUCCESS)


def test_percentiles() -> None:
    window = with_latencies(*((1000.0, float(number)) for number in range(1, 101)))

    mean, found = window.latency(1000.0)

    assert mean == 50.5
    assert tuple(found) == PERCENTILES
    assert list(found.values()) == [1, 25, 50, 75, 90, 95, 99, 100, 100]


def test_percentiles_of_one_and_of_none() -> None:
    assert with_latencies((1000.0, 0.25)).latency(1000.0) == (0.25, dict.fromkeys(PERCENTILES, 0.25))
    assert Window(10.0).latency(1000.0) == (0.0, dict.fromkeys(PERCENTILES, 0.0))


def test_latencies_are_of_the_last_minute_and_not_more_than_500() -> None:
    window = with_latencies((1000.0, 9.0), *((1050.0, 1.0) for _ in range(10)))
    assert window.latency(1059.0)[1]["100"] == 9.0
    assert window.latency(1060.0)[1]["100"] == 1.0

    window.latencies.extend((1051.0, 2.0) for _ in range(500))
    assert window.latency(1060.0)[1]["0"] == 2.0


def test_fallbacks_and_refusals_are_no_calls() -> None:
    window = filled((SHORT_CIRCUITED, 1.0), (FALLBACK_SUCCESS, 1.0))

    assert (window.calls, window.bad) == (0, 0)


def test_successes_are_never_lost_from_sight() -> None:
    window = filled((SUCCESS, 1.0), (FAILURE, 1.0), (SUCCESS, 5.0))
    assert window.forgotten + window.total(SUCCESS) == 2
    window.advance(11.5)
    assert (window.forgotten, window.total(SUCCESS)) == (1, 1)
    window.forget_results()
    assert (window.forgotten, window.total(SUCCESS)) == (2, 0)
    window.advance(100.0)
    assert window.forgotten == 2


def test_sums_are_the_counts_in_order() -> None:
    window = filled((SUCCESS, 1.0), (FAILURE, 1.0), (FAILURE, 5.0), (FALLBACK_SUCCESS, 5.0))
    assert window.sums() == [1, 2, 0, 0, 0, 0, 1, 0]
