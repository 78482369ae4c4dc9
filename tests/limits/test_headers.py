"""What clients are told is what draft-ietf-httpapi-ratelimit-headers-11 says, and it is true."""

from __future__ import annotations

from math import ceil
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.gcra import LocalLimiter, Policy
from gateway.limits.headers import LEVELS, Left, LimitHeaders
from gateway.limits.rate import Rate

SECOND = Policy("second", Rate(10, 1.0), 10)
HOUR = Policy("hour", Rate(1000, 3600.0), 1000, 5)


def parsed(value: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, dict(parameters)) for name, parameters in http_sf.parse(value.encode(), tltype="list")]


def told(headers: LimitHeaders, *lefts: Left) -> dict[str, str]:
    fields = headers.fields(lefts)
    return dict(fields.added + fields.replaced)


def test_one_policy() -> None:
    fields = told(LimitHeaders([SECOND], ("draft",)), Left(0, 3, 0.0))
    assert fields == {"RateLimit-Policy": '"second";q=10;w=1', "RateLimit": '"second";r=3;t=1'}


def test_several_policies_are_members_of_a_list() -> None:
    fields = told(LimitHeaders([SECOND, HOUR], ("draft",)), Left(0, 9, 0.0), Left(1, 500, 0.0))
    assert parsed(fields["RateLimit-Policy"]) == [("second", {"q": 10, "w": 1}), ("hour", {"q": 1000, "w": 3600})]
    assert parsed(fields["RateLimit"]) == [("second", {"r": 9, "t": 1}), ("hour", {"r": 500, "t": 1800})]


def test_where_the_next_request_is_refused_t_is_when_one_passes() -> None:
    headers = LimitHeaders([HOUR], ("draft",))
    assert parsed(told(headers, Left(0, 4, 3.2))["RateLimit"]) == [("hour", {"r": 4, "t": 4})]
    assert parsed(told(headers, Left(0, 0, 0.0))["RateLimit"]) == [("hour", {"r": 0, "t": 1})]
    assert parsed(told(headers, Left(0, 5, 0.0))["RateLimit"]) == [("hour", {"r": 5, "t": 3582})]


def test_older_fields_tell_of_the_policy_with_the_least_left() -> None:
    headers = LimitHeaders([SECOND, HOUR], ("draft", "legacy"))
    fields = told(headers, Left(0, 9, 0.0), Left(1, 40, 0.0))
    legacy = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "40", "X-RateLimit-Reset": "3456"}
    assert {name: value for name, value in fields.items() if name.startswith("X-")} == legacy
    assert "RateLimit" in fields
    assert [name for name, _ in headers.fields([Left(0, 9, 0.0)]).replaced] == list(legacy)
    assert told(LimitHeaders([SECOND], ("legacy",)), Left(0, 9, 0.0))["X-RateLimit-Limit"] == "10"


def test_of_two_that_are_used_up_the_one_that_lasts_longer_is_told() -> None:
    headers = LimitHeaders([SECOND, HOUR], ("legacy",))
    for lefts in ([Left(0, 0, 0.1), Left(1, 0, 9.0)], [Left(1, 0, 9.0), Left(0, 0, 0.1)]):
        assert told(headers, *lefts)["X-RateLimit-Reset"] == "9"


def test_springs_own() -> None:
    headers = LimitHeaders([Policy("default", Rate(600, 60.0), 20, 2)], ("legacy",), spring=True)
    assert told(headers, Left(0, 8, 0.0)) == {
        "X-RateLimit-Remaining": "8",
        "X-RateLimit-Replenish-Rate": "10",
        "X-RateLimit-Burst-Capacity": "20",
        "X-RateLimit-Requested-Tokens": "2",
    }


def test_nothing_to_tell() -> None:
    assert not LimitHeaders([SECOND], ())
    assert LimitHeaders([SECOND], ("draft",))
    assert LimitHeaders([SECOND], ("legacy",))
    assert LimitHeaders([SECOND], ("legacy",), spring=True)


def test_the_text_of_a_level_is_made_once_and_levels_are_bounded() -> None:
    huge = Policy("huge", Rate(10 * LEVELS, 1.0), 10 * LEVELS)
    headers = LimitHeaders([huge], ("draft",))
    assert headers.fields([Left(0, 7, 0.0)]) is headers.fields([Left(0, 7, 0.0)])
    first = headers.fields([Left(0, 7, 0.0)])
    for remaining in range(1, LEVELS + 5):
        headers.fields([Left(0, remaining, 0.0)])
    assert headers.fields([Left(0, 7, 0.0)]) is not first


@given(
    rate=st.builds(Rate, st.integers(1, 500), st.sampled_from([0.25, 1.0, 60.0, 3600.0])),
    burst=st.integers(1, 40),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_what_is_told_is_true(rate: Rate, burst: int, gaps: list[float]) -> None:
    """A client that believes it is served: r passes at once, one passes after t where none is left, and all of q are
    there after t otherwise."""
    policy = Policy("p", rate, burst)
    limiter, headers, now = LocalLimiter(policy, 10), LimitHeaders([policy], ("draft",)), 1000.0
    (name, quota), *_ = parsed(told(headers, Left(0, burst, 0.0))["RateLimit-Policy"])
    assert (name, quota["q"]) == ("p", burst)
    for gap in gaps:
        now += gap * policy.emission
        room = limiter.room("k", now)
        if room >= limiter.step:
            limiter.take("k", now)
            room -= limiter.step
        remaining, wait = policy.remaining(room), limiter.step - room
        (_, level), *_ = parsed(told(headers, Left(0, remaining, wait))["RateLimit"])
        assert 0 <= level["r"] <= quota["q"]
        assert level["t"] <= max(quota["w"], 1)
        then = limiter.room("k", now + level["t"])
        if level["r"]:
            assert limiter.room("k", now) >= level["r"] * limiter.step * 0.999
            assert policy.remaining(then) == burst
        else:
            assert then >= limiter.step
            assert level["t"] <= max(1, ceil(wait)), "the window ends after Retry-After"


@pytest.mark.parametrize("name", ["default", "a.b-c_d", "9"])
def test_names_are_strings_of_structured_fields(name: str) -> None:
    fields = told(LimitHeaders([Policy(name, Rate(1, 1.0), 1)], ("draft",)), Left(0, 0, 0.5))
    assert parsed(fields["RateLimit"])[0][0] == parsed(fields["RateLimit-Policy"])[0][0] == name
