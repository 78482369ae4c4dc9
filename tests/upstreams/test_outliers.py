"""Who is ejected, for how long, and that it always ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.outliers import OutlierPolicy, Outliers, SuccessRate


@dataclass
class Changes:
    count: int = 0


@dataclass(eq=False)
class FakeEndpoint:
    state: str = "enabled"
    healthy: bool = True
    ejected_until: float = 0.0
    ejections: int = 0
    ejected_for: str = ""
    failures: int = 0
    refusals: int = 0
    requests: int = 0
    errors: int = 0
    available_since: float = 0.0
    returned_at: float = 0.0
    priority: int = 0
    changes: Changes = field(default_factory=Changes)

    def available(self, now: float) -> bool:
        return self.state == "enabled" and self.healthy and self.ejected_until <= now


def some(count: int) -> Any:
    changes = Changes()
    return tuple(FakeEndpoint(changes=changes) for _ in range(count))


def outliers(**options: Any) -> Outliers:
    return Outliers(OutlierPolicy(**options))


def fail(judge: Outliers, endpoint: Any, endpoints: Any, now: float, times: int = 5, connect: bool = False) -> bool:
    """Fail so often; was the last one an ejection?"""
    return [judge.failed(endpoint, endpoints, now, connect) for _ in range(times)][-1]


def ejected(endpoints: Sequence[Any], now: float) -> list[int]:
    return [place for place, endpoint in enumerate(endpoints) if endpoint.ejected_until > now]


# errors in a row


def test_errors_in_a_row_eject() -> None:
    judge, endpoints = outliers(), some(2)
    bad = endpoints[0]

    assert not fail(judge, bad, endpoints, 100.0, times=4)
    assert fail(judge, bad, endpoints, 100.0, times=1)
    assert (bad.ejected_for, bad.ejected_until, bad.ejections) == ("errors", 105.0, 1)
    assert bad.changes.count == 1


def test_a_success_breaks_the_row() -> None:
    judge, endpoints = outliers(), some(2)
    bad = endpoints[0]

    fail(judge, bad, endpoints, 100.0, times=4)
    bad.failures = bad.refusals = 0
    assert not fail(judge, bad, endpoints, 100.0, times=4)


def test_connect_failures_in_a_row_eject() -> None:
    judge, endpoints = outliers(errors=0, connect_errors=3), some(2)
    bad = endpoints[0]

    fail(judge, bad, endpoints, 100.0, times=2, connect=True)
    fail(judge, bad, endpoints, 100.0, times=1)
    assert not fail(judge, bad, endpoints, 100.0, times=2, connect=True), "it took a connection in between"
    assert fail(judge, bad, endpoints, 100.0, times=1, connect=True)
    assert bad.ejected_for == "connect"


def test_connect_failures_are_errors_too() -> None:
    judge, endpoints = outliers(errors=3, connect_errors=0), some(2)

    assert fail(judge, endpoints[0], endpoints, 100.0, times=3, connect=True)
    assert endpoints[0].ejected_for == "errors"


def test_both_at_once_are_called_connect() -> None:
    judge, endpoints = outliers(), some(2)

    assert fail(judge, endpoints[0], endpoints, 100.0, connect=True)
    assert endpoints[0].ejected_for == "connect"


def test_both_off() -> None:
    judge, endpoints = outliers(errors=0, connect_errors=0), some(2)

    fail(judge, endpoints[0], endpoints, 100.0, times=100, connect=True)
    assert not ejected(endpoints, 100.0)


def test_what_still_comes_while_ejected_changes_nothing() -> None:
    judge, endpoints = outliers(), some(4)
    bad = endpoints[0]
    fail(judge, bad, endpoints, 100.0)

    assert not fail(judge, bad, endpoints, 102.0, times=10)
    assert (bad.ejected_until, bad.ejections) == (105.0, 1)


# the end of an ejection


def test_it_ends_by_itself() -> None:
    judge, endpoints = outliers(), some(2)
    bad = endpoints[0]
    fail(judge, bad, endpoints, 100.0)

    judge.review(endpoints, 104.9)
    assert bad.ejected_until == 105.0
    judge.review(endpoints, 105.0)
    assert (bad.ejected_until, bad.ejected_for, bad.failures, bad.refusals) == (0.0, "", 0, 0)
    assert (bad.returned_at, bad.available_since) == (105.0, 105.0)
    assert bad.changes.count == 2
    judge.review(endpoints, 106.0)
    assert bad.changes.count == 2


def test_it_ends_without_a_review() -> None:
    judge, endpoints = outliers(), some(2)
    bad = endpoints[0]
    fail(judge, bad, endpoints, 100.0)

    assert not fail(judge, bad, endpoints, 105.5, times=4), "it begins anew"
    assert bad.returned_at == 105.5
    assert fail(judge, bad, endpoints, 105.5, times=1)
    assert (bad.ejected_until, bad.ejections) == (115.5, 2)


def test_a_passed_check_lifts_it() -> None:
    judge, endpoints = outliers(), some(2)
    bad = endpoints[0]
    fail(judge, bad, endpoints, 100.0)

    Outliers.lift(bad, 101.0)
    assert (bad.ejected_until, bad.failures, bad.available_since, bad.changes.count) == (0.0, 0, 101.0, 2)
    Outliers.lift(bad, 102.0)
    assert (bad.available_since, bad.changes.count) == (101.0, 2), "nothing is left to lift"


def test_it_grows_when_it_comes_again_soon() -> None:
    judge, endpoints = outliers(ejection=5.0, max_ejection=12.0), some(2)
    bad = endpoints[0]
    now, lengths = 100.0, []
    for _ in range(4):
        fail(judge, bad, endpoints, now)
        lengths.append(bad.ejected_until - now)
        judge.review(endpoints, bad.ejected_until)
        now = bad.returned_at + 11.0

    assert lengths == [5.0, 10.0, 12.0, 12.0]


def test_it_begins_small_after_a_good_time() -> None:
    judge, endpoints = outliers(), some(2)
    bad = endpoints[0]
    fail(judge, bad, endpoints, 100.0)
    judge.review(endpoints, 105.0)
    fail(judge, bad, endpoints, 165.0)
    assert (bad.ejected_until, bad.ejections) == (175.0, 2)
    judge.review(endpoints, 175.0)
    fail(judge, bad, endpoints, 235.1)
    assert (bad.ejected_until, bad.ejections) == (240.1, 1)


# how many


@pytest.mark.parametrize(("count", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_half_of_them_rounded_down(count: int, most: int) -> None:
    judge, endpoints = outliers(), some(count)

    for endpoint in endpoints:
        fail(judge, endpoint, endpoints, 100.0)
    assert ejected(endpoints, 100.0) == list(range(most))


@pytest.mark.parametrize(("count", "share", "most"), [(4, 1.0, 3), (4, 0.0, 0), (9, 0.1, 0), (10, 0.1, 1)])
def test_another_share(count: int, share: float, most: int) -> None:
    judge, endpoints = outliers(max_ejected=share), some(count)

    for endpoint in endpoints:
        fail(judge, endpoint, endpoints, 100.0)
    assert len(ejected(endpoints, 100.0)) == most


def test_a_share_means_what_is_written() -> None:
    judge, endpoints = outliers(max_ejected=0.29), some(100)

    for endpoint in endpoints:
        fail(judge, endpoint, endpoints, 100.0)
    assert 0.29 * 100 < 29
    assert len(ejected(endpoints, 100.0)) == 29


def test_who_could_not_be_ejected_is_once_there_is_room() -> None:
    judge, endpoints = outliers(), some(2)
    fail(judge, endpoints[0], endpoints, 100.0)
    assert not fail(judge, endpoints[1], endpoints, 100.0, times=50)

    judge.review(endpoints, 105.0)
    assert fail(judge, endpoints[1], endpoints, 105.0, times=1)
    assert ejected(endpoints, 105.0) == [1]


def test_drained_ones_do_not_count() -> None:
    judge, endpoints = outliers(), some(4)
    endpoints[3].state = "drain"

    for endpoint in endpoints:
        fail(judge, endpoint, endpoints, 100.0)
    assert ejected(endpoints, 100.0) == [0]


def test_an_unhealthy_one_is_not_what_is_left() -> None:
    judge, endpoints = outliers(), some(2)
    endpoints[1].healthy = False

    assert not fail(judge, endpoints[0], endpoints, 100.0, times=50)
    assert not fail(judge, endpoints[1], endpoints, 100.0, times=50), "it gets no requests as it is"


@pytest.mark.parametrize(("attribute", "value"), [("state", "drain"), ("healthy", False)])
def test_when_the_others_go_one_comes_back(attribute: str, value: object) -> None:
    judge, endpoints = outliers(), some(4)
    fail(judge, endpoints[0], endpoints, 101.0)
    fail(judge, endpoints[1], endpoints, 100.0)
    setattr(endpoints[2], attribute, value)
    judge.review(endpoints, 102.0)
    assert ejected(endpoints, 102.0) == [0, 1], "one is left"

    setattr(endpoints[3], attribute, value)
    judge.review(endpoints, 103.0)
    assert ejected(endpoints, 103.0) == [0], "the one that would be back first"


# success rate

RATE = SuccessRate(interval=10.0, requests=100, endpoints=5, deviations=1.9)


def compared(errors: list[int], requests: int = 100, **options: Any) -> tuple[Any, list[int]]:
    """The endpoints, and which of them the first interval's end ejects, in the order told."""
    judge, endpoints = outliers(**{"success_rate": RATE, **options}), some(len(errors))
    for endpoint in endpoints:
        endpoint.requests, endpoint.errors = 1000, 900
    assert judge.review(endpoints, 100.0) == []
    for endpoint, count in zip(endpoints, errors, strict=True):
        endpoint.requests += requests
        endpoint.errors += count
    assert judge.review(endpoints, 109.9) == []
    return endpoints, [endpoints.index(endpoint) for endpoint in judge.review(endpoints, 110.0)]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0, 0, 0, 0, 0], []),
        ([10, 10, 10, 10, 10], []),
        ([0, 0, 0, 0, 30], [4]),
        ([1, 2, 1, 2, 30], [4]),
        ([0, 0, 0, 0], []),
        ([0, 0, 0, 30], []),
        ([0, 10, 20, 30, 40], []),
        ([0] * 10 + [60, 70], [11, 10]),
    ],
)
def test_who_does_worse_than_the_others_is_ejected(errors: list[int], expected: list[int]) -> None:
    endpoints, found = compared(errors)

    assert found == expected
    assert ejected(endpoints, 110.0) == sorted(expected)
    assert {endpoints[place].ejected_for for place in found} <= {"success_rate"}
    assert all(endpoints[place].ejected_until == 115.0 for place in found)


def test_too_few_requests_prove_nothing() -> None:
    assert compared([0, 0, 0, 0, 30], requests=99)[1] == []


def test_no_comparison_without_a_rule() -> None:
    assert compared([0, 0, 0, 0, 30], success_rate=None)[1] == []


def test_the_worst_goes_first_where_not_all_may() -> None:
    assert compared([0] * 10 + [60, 70], max_ejected=0.1)[1] == [11]


def test_more_errors_than_requests_are_none_that_succeeded() -> None:
    assert compared([0] * 10 + [100, 400])[1] == [10, 11], "one that overshoots does not hide the other"


def test_each_interval_stands_alone() -> None:
    judge, endpoints = outliers(success_rate=RATE), some(6)
    now = 100.0
    judge.review(endpoints, now)
    for _ in range(3):
        now += 10
        for endpoint in endpoints:
            endpoint.requests += 100
        endpoints[0].errors += 60 if now == 110.0 else 0
        found = judge.review(endpoints, now)
        assert (endpoints[0] in found) is (now == 110.0)
        assert len(found) <= 1


def test_what_came_before_the_return_is_not_held_against_it() -> None:
    judge, endpoints = outliers(success_rate=RATE), some(6)
    judge.review(endpoints, 100.0)
    for endpoint in endpoints:
        endpoint.requests += 1000
    endpoints[0].errors += 500
    fail(judge, endpoints[0], endpoints, 101.0)
    judge.review(endpoints, 106.0)
    assert endpoints[0].available(106.0)
    assert judge.review(endpoints, 110.0) == []


def test_an_endpoint_that_is_new_waits_for_its_first_interval() -> None:
    judge, endpoints = outliers(success_rate=RATE), some(6)
    judge.review(endpoints[1:], 100.0)
    for endpoint in endpoints:
        endpoint.requests += 1000
    endpoints[0].errors += 500
    assert judge.review(endpoints, 110.0) == []


# properties

PLACES = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), PLACES, st.booleans()),
        st.tuples(st.just("succeed"), PLACES, st.none()),
        st.tuples(st.just("drain"), PLACES, st.booleans()),
        st.tuples(st.just("check"), PLACES, st.booleans()),
        st.tuples(st.just("work"), PLACES, st.integers(0, 20)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0.1, 20.0)),
    ),
    max_size=60,
)
POLICIES = st.builds(
    OutlierPolicy,
    errors=st.integers(0, 3),
    connect_errors=st.integers(0, 3),
    ejection=st.floats(0.5, 10),
    max_ejection=st.floats(0.5, 30),
    max_ejected=st.floats(0, 1),
    success_rate=st.none() | st.just(SuccessRate(interval=5.0, requests=1, endpoints=2, deviations=0.5)),
)


def take(step: tuple[str, int, Any], judge: Outliers, endpoints: Any, now: float) -> float:
    """What one step does; the time after it."""
    what, place, value = step
    endpoint = endpoints[place % len(endpoints)]
    if what == "fail":
        endpoint.requests += 1
        endpoint.errors += 1
        judge.failed(endpoint, endpoints, now, value)
    elif what == "succeed":
        endpoint.requests += 1
        endpoint.failures = endpoint.refusals = 0
    elif what == "work":
        endpoint.requests += 20
        endpoint.errors += value
    elif what == "drain":
        endpoint.state = "drain" if value else "enabled"
    elif what == "check":
        endpoint.healthy = value
        if value:
            judge.lift(endpoint, now)
    else:
        now += value
        judge.review(endpoints, now)
    return now


@given(POLICIES, st.integers(1, 6), STEPS)
def test_limits_hold_whatever_happens(policy: OutlierPolicy, count: int, steps: list[tuple[str, int, Any]]) -> None:
    judge, endpoints = Outliers(policy), some(count)
    now = 100.0
    for step in steps:
        before, changed = set(ejected(endpoints, now)), endpoints[0].changes.count
        now = take(step, judge, endpoints, now)
        after = set(ejected(endpoints, now))
        enabled = sum(endpoint.state == "enabled" for endpoint in endpoints)
        if after - before:
            assert len(after) <= floor(policy.max_ejected * enabled + 1e-9)
            assert any(endpoint.available(now) for endpoint in endpoints)
        if after != before:
            assert endpoints[0].changes.count > changed
        if step[0] == "wait" and any(one.state == "enabled" and one.healthy for one in endpoints):
            assert any(endpoint.available(now) for endpoint in endpoints)
        assert all(endpoints[place].ejected_until - now <= policy.max_ejection + 1e-6 for place in after)
        assert all(bool(one.ejected_for) is bool(one.ejected_until) for one in endpoints)


@given(POLICIES, st.integers(1, 6), STEPS)
def test_everyone_comes_back(policy: OutlierPolicy, count: int, steps: list[tuple[str, int, Any]]) -> None:
    judge, endpoints = Outliers(policy), some(count)
    now = 100.0
    for step in steps:
        now = take(step, judge, endpoints, now)
    # Two reviews, an interval apart: the first one may eject once more by what happened before it.
    interval = policy.success_rate.interval if policy.success_rate is not None else 0.0
    for _ in range(2):
        now += policy.max_ejection + interval + 1
        judge.review(endpoints, now)
    assert not any(endpoint.ejected_until or endpoint.ejected_for for endpoint in endpoints)


@given(st.integers(2, 6), st.integers(1, 40))
def test_a_dead_endpoint_is_out_most_of_the_time_and_asked_again(count: int, times: int) -> None:
    judge, endpoints = outliers(success_rate=None), some(count)
    dead = endpoints[0]
    now = 100.0
    for number in range(1, times + 1):
        assert dead.available(now)
        assert fail(judge, dead, endpoints, now, connect=True)
        assert dead.ejected_until - now == pytest.approx(min(60.0, 5.0 * number))
        now = dead.ejected_until
        judge.review(endpoints, now)
