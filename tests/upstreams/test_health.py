"""What passes a health check, and how many make a verdict."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstreams.health import BODY_LIMIT, CheckPolicy, HealthState, judge


def state(*results: bool, passes: int = 2, failures: int = 3) -> HealthState:
    made = HealthState(CheckPolicy(passes=passes, failures=failures))
    for passed in results:
        made.result(passed)
    return made


@pytest.mark.parametrize("passed", (True, False))
def test_the_first_check_decides_alone(passed: bool) -> None:
    fresh = state()

    assert fresh.healthy is None
    assert fresh.result(passed) is passed
    assert fresh.healthy is passed


def test_later_failures_must_come_in_a_row() -> None:
    healthy = state(True)

    assert [healthy.result(passed) for passed in (False, False, True, False, False)] == [None] * 5
    assert healthy.healthy
    assert healthy.result(False) is False
    assert healthy.result(False) is None, "it is told once"


def test_later_passes_must_come_in_a_row() -> None:
    unhealthy = state(False)

    assert [unhealthy.result(passed) for passed in (True, False, True)] == [None] * 3
    assert not unhealthy.healthy
    assert unhealthy.result(True) is True
    assert unhealthy.result(True) is None, "it is told once"


def test_one_may_be_enough() -> None:
    eager = state(True, passes=1, failures=1)

    assert [eager.result(passed) for passed in (False, True, True, False)] == [False, True, None, False]


@given(st.lists(st.booleans(), min_size=1), st.integers(1, 4), st.integers(1, 4))
def test_the_verdict_is_that_of_the_last_long_enough_run(results: list[bool], passes: int, failures: int) -> None:
    expected = results[0]
    for end in range(1, len(results) + 1):
        for verdict, needed in ((True, passes), (False, failures)):
            if results[:end][-needed:] == [verdict] * needed:
                expected = verdict

    made = state(passes=passes, failures=failures)
    told = [verdict for verdict in map(made.result, results) if verdict is not None]

    assert made.healthy is expected
    assert told == [results[0] ^ (number % 2 == 1) for number in range(len(told))], "each verdict is a change"


@pytest.mark.parametrize(
    ("policy", "status", "body", "reason"),
    [
        (CheckPolicy(), 200, b"", ""),
        (CheckPolicy(), 302, b"", ""),
        (CheckPolicy(), 399, b"", ""),
        (CheckPolicy(), 199, b"", "status 199"),
        (CheckPolicy(), 400, b"", "status 400"),
        (CheckPolicy(), 503, b"", "status 503"),
        (CheckPolicy(statuses=frozenset({204, 404})), 404, b"", ""),
        (CheckPolicy(statuses=frozenset({204, 404})), 200, b"", "status 200"),
        (CheckPolicy(body=re.compile("(?i)is UP")), 200, b"all is up", ""),
        (CheckPolicy(body=re.compile("up")), 200, b"password=down", "the body does not match"),
        (CheckPolicy(body=re.compile("up")), 500, b"up", "status 500"),
        (CheckPolicy(body=re.compile("^l\u00e4uft$")), 200, "l\u00e4uft".encode(), ""),
        (CheckPolicy(body=re.compile("up$")), 200, b"\xff\xfe up", ""),
        (CheckPolicy(body=re.compile("up")), 200, b"x" * (BODY_LIMIT - 2) + b"up", ""),
        (CheckPolicy(body=re.compile("up")), 200, b"x" * (BODY_LIMIT - 1) + b"up", "the body does not match"),
    ],
)
def test_judge(policy: CheckPolicy, status: int, body: bytes, reason: str) -> None:
    assert judge(policy, status, body) == reason


def test_equal_policies_are_equal() -> None:
    assert CheckPolicy(body=re.compile("up")) == CheckPolicy(body=re.compile("up"))
    assert CheckPolicy(body=re.compile("up")) != CheckPolicy(body=re.compile("UP"))
