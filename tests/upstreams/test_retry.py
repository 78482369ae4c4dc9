"""Whether there is another attempt, and when."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ANSWERS, Kind, Retry
from gateway.testing import make_exchange
from gateway.upstreams.retry import RetryBudget, RetryPolicy, parse_conditions, retry_after_seconds

DEFAULT = RetryPolicy()
PLAIN = make_exchange().headers
KEYED = make_exchange(headers={"Idempotency-Key": "7"}).headers
# Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7
WALL = 784_111_777.0

draws = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 1000)


@pytest.mark.parametrize(
    ("words", "conditions", "statuses"),
    [
        (("connect", "reset", "503"), {"connect", "reset"}, {503}),
        (("timeout",), {"timeout"}, set()),
        (("502", "429"), set(), {502, 429}),
        (("5xx",), {"connect", "reset", "timeout"}, set(range(500, 600))),
        (("5xx", "429", "connect"), {"connect", "reset", "timeout"}, {429, *range(500, 600)}),
    ],
)
def test_conditions(words: tuple[str, ...], conditions: set[str], statuses: set[int]) -> None:
    assert parse_conditions(words) == (conditions, statuses)


def test_the_defaults_are_those_of_the_configuration() -> None:
    assert parse_conditions(("connect", "reset", "503")) == (DEFAULT.conditions, DEFAULT.statuses)


@pytest.mark.parametrize(
    ("method", "repeats"),
    [
        ("GET", True),
        ("HEAD", True),
        ("OPTIONS", True),
        ("TRACE", True),
        ("PUT", True),
        ("DELETE", True),
        ("POST", False),
        ("PATCH", False),
        ("get", False),
    ],
)
def test_what_may_be_sent_twice(method: str, repeats: bool) -> None:
    assert DEFAULT.repeats(method, PLAIN) is repeats
    assert DEFAULT.repeats(method, KEYED)
    assert RetryPolicy(non_idempotent=True).repeats(method, PLAIN)


@pytest.mark.parametrize(
    ("condition", "safe", "get", "post"),
    [
        ("connect", "always", True, True),
        ("reset", "idempotent", True, False),
        # In the table, but not in the policy.
        ("timeout", "idempotent", False, False),
        # No room for a connection is as good as none.
        ("full", "always", True, True),
        ("", "always", False, False),
        # In the policy, but the table forbids it.
        ("connect", "never", False, False),
    ],
)
def test_which_failures_are_covered(condition: str, safe: Retry, get: bool, post: bool) -> None:
    assert DEFAULT.covers(condition, safe, "GET", PLAIN) is get
    assert DEFAULT.covers(condition, safe, "POST", PLAIN) is post
    assert DEFAULT.covers(condition, safe, "POST", KEYED) is get


@pytest.mark.parametrize("kind", Kind)
def test_what_the_table_forbids_is_covered_by_no_policy(kind: Kind) -> None:
    conditions, statuses = parse_conditions(("5xx",))
    everything = RetryPolicy(conditions=conditions, statuses=statuses, non_idempotent=True)
    answer = ANSWERS[kind]
    assert everything.covers(answer.condition, answer.retry, "POST", PLAIN) is (answer.retry != "never")


@given(st.integers(1, 5000), draws, st.floats(0, 60), st.floats(0, 60))
def test_pauses_are_random_up_to_a_length_that_doubles(rounds: int, draw: float, base: float, longest: float) -> None:
    pause = RetryPolicy(base=base, longest=longest).pause(rounds, draw)
    assert pause is not None
    assert 0 <= pause <= longest
    assert pause <= base * 2.0 ** min(rounds - 1, 100)


def test_pauses() -> None:
    assert [DEFAULT.pause(rounds, 0.5) for rounds in (1, 2, 3, 4, 5, 6)] == [0.0125, 0.025, 0.05, 0.1, 0.125, 0.125]
    assert [DEFAULT.pause(rounds, 0.0) for rounds in (1, 5)] == [0.0, 0.0]
    assert RetryPolicy(base=0.0).pause(3, 0.9) == 0.0


@given(st.integers(1, 50), draws, seconds, seconds)
def test_an_upstream_that_asks_for_time_gets_it_or_is_left_alone(
    rounds: int, draw: float, asked: float, most: float
) -> None:
    policy = RetryPolicy(max_retry_after=most)
    pause = policy.pause(rounds, draw, asked)
    jitter = policy.pause(rounds, draw)
    assert jitter is not None
    assert pause == (None if asked > most else max(jitter, asked))


def test_how_long_an_upstream_may_ask_for() -> None:
    assert DEFAULT.pause(1, 0.0, 1.0) == 1.0
    assert DEFAULT.pause(1, 0.0, 1.001) is None
    assert DEFAULT.pause(1, 0.0, float("inf")) is None
    assert DEFAULT.pause(1, 0.5, 0.0) == DEFAULT.pause(1, 0.5)


@given(st.floats(0, 1), st.integers(0, 20), st.lists(st.one_of(st.none(), st.integers(0, 500)), max_size=60))
def test_a_budget_never_gives_more_than_its_share(share: float, smallest: int, steps: list[int | None]) -> None:
    """A number asks for a permit with so many in flight, None gives one back."""
    budget = RetryBudget(share, smallest)
    taken = 0
    for in_flight in steps:
        if in_flight is None:
            if taken:
                budget.give_back()
                taken -= 1
        elif budget.take(in_flight):
            taken += 1
            assert taken <= max(smallest, share * in_flight + 1e-6)
        else:
            assert taken + 1 > max(smallest, share * in_flight)
        assert budget.taken == taken


@pytest.mark.parametrize(
    ("share", "smallest", "in_flight", "permits"),
    [
        (0.2, 3, 0, 3),
        (0.2, 3, 15, 3),
        (0.2, 3, 20, 4),
        (0.2, 3, 24, 4),
        (0.2, 0, 4, 0),
        (0.2, 0, 5, 1),
        # In binary fractions this product is a little below 29.
        (0.29, 0, 100, 29),
        (1.0, 0, 7, 7),
        (0.0, 0, 1000, 0),
    ],
)
def test_permits(share: float, smallest: int, in_flight: int, permits: int) -> None:
    budget = RetryBudget(share, smallest)
    assert [budget.take(in_flight) for _ in range(permits + 2)] == [True] * permits + [False] * 2
    if permits:
        budget.give_back()
        assert [budget.take(in_flight), budget.take(in_flight)] == [True, False]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("0000000000007", 7.0),
        ("2147483648", 2147483648.0),
        ("4000000000", 2147483648.0),
        ("9" * 5000, 2147483648.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        ("Sun Nov  6 08:49:47 1994", 10.0),
        ("Sun, 06 Nov 1994 09:49:47 +0100", 10.0),
        ("Sun, 06 Nov 1994 08:49:47 -0000", 10.0),
        ("Sun, 06 Nov 1994 08:49:36 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_what_a_field_asks_for(value: str | None, expected: float | None) -> None:
    assert retry_after_seconds(value, WALL) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "0x10",
        "10s",
        "1, 2",
        # Digits to Python, but not to HTTP.
        "²",
        "٣",
        "Sun, 06 Nov",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 99:99:99 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +9999999999999999999",
    ],
)
def test_rubbish_asks_for_nothing(value: str) -> None:
    assert retry_after_seconds(value, WALL) is None


dates = st.lists(
    st.sampled_from(["Sun,", "06", "Nov", "1994", "08:49:37", "GMT", "-0000", "+99999999999999999", "0", "24:00:00"]),
    max_size=7,
).map(" ".join)


@given(st.one_of(st.text(max_size=30), dates))
def test_whatever_an_upstream_sends_is_read_or_passed_over(value: str) -> None:
    asked = retry_after_seconds(value, WALL)
    assert asked is None or asked >= 0


@given(st.integers(0, 100_000))
def test_dates_as_others_write_them(ahead: int) -> None:
    assert retry_after_seconds(formatdate(WALL + ahead, usegmt=True), WALL) == ahead
