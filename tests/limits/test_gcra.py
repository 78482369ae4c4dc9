"""The burst passes at once, the rate in the long run, and never more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.gcra import LocalLimiter, Policy
from gateway.limits.rate import Rate

RATES = ["1/s", "3/s", "7/10s", "100/s", "5000/m", "1000/d", "20/h", "100000/s"]


def make(rate: str, burst: int | None = None, cost: int = 1, keys: int = 100) -> LocalLimiter:
    parsed = Rate.parse(rate)
    return LocalLimiter(Policy("default", parsed, burst or parsed.amount, cost), keys)


def passes(limiter: LocalLimiter, now: float, key: str = "k") -> bool:
    if limiter.room(key, now) < limiter.step:
        return False
    limiter.take(key, now)
    return True


@pytest.mark.parametrize("rate", [*RATES[:-1], "2000/s"])
@pytest.mark.parametrize("now", [0.0, 0.1, 12345.678, 1e7 + 1 / 3])
def test_just_the_burst_passes_at_once(rate: str, now: float) -> None:
    limiter = make(rate)
    burst = limiter.policy.burst
    assert sum(passes(limiter, now) for _ in range(burst + 5)) == burst


@pytest.mark.parametrize("rate", RATES)
def test_one_more_passes_when_its_time_has_come_and_not_before(rate: str) -> None:
    limiter = make(rate, burst=2)
    now, emission = 1000.0, limiter.policy.emission
    assert [passes(limiter, now) for _ in range(3)] == [True, True, False]
    assert not passes(limiter, now + 0.99 * emission)
    assert passes(limiter, now + emission)
    assert not passes(limiter, now + emission)


def test_what_is_refused_does_not_count() -> None:
    limiter = make("10/s", burst=1)
    assert passes(limiter, 0.0)
    for number in range(1000):
        assert not passes(limiter, number * 0.09 / 1000)
    assert passes(limiter, 0.1)


def test_a_request_takes_its_cost_or_nothing() -> None:
    limiter = make("10/s", burst=10, cost=4)
    assert [passes(limiter, 5.0) for _ in range(3)] == [True, True, False]
    assert limiter.policy.remaining(limiter.room("k", 5.0)) == 2
    assert limiter.step - limiter.room("k", 5.0) == pytest.approx(0.2, rel=0.01)
    assert passes(limiter, 5.2)


def test_keys_do_not_know_each_other() -> None:
    limiter = make("1/h")
    assert [passes(limiter, 1.0, key) for key in "aabb"] == [True, False, True, False]


def test_what_remains_comes_back_evenly() -> None:
    limiter = make("10/s")
    for _ in range(10):
        assert passes(limiter, 100.0)
    seen = [limiter.policy.remaining(limiter.room("k", 100.0 + tenth / 10 + 0.01)) for tenth in range(12)]
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]


def test_a_flood_of_keys_costs_no_memory_and_a_key_that_is_used_stays() -> None:
    limiter = make("1/h", keys=100)
    assert passes(limiter, 1.0, "kept")
    for number in range(1000):
        assert passes(limiter, 1.0, str(number))
        assert not passes(limiter, 1.0, "kept")
        assert len(limiter) <= 100
    assert passes(limiter, 1.0, "0"), "a key that was dropped starts anew"


def test_a_key_is_recalled_or_new() -> None:
    limiter = make("1/h", keys=4)
    assert limiter.recall("a") == 0.0
    limiter.take("a", 50.0)
    tat = limiter.young["a"]
    limiter.put("b", 1.0)
    limiter.put("c", 1.0)
    assert "a" not in limiter.young
    assert limiter.recall("a") == tat
    assert limiter.young["a"] == tat


@pytest.mark.parametrize(
    ("rate", "burst", "remaining", "seconds"),
    [
        ("100/s", 100, 0, 1),
        ("100/s", 100, 99, 1),
        ("100/s", 100, 100, 0),
        ("3/m", 3, 1, 40),
        ("1000/d", 1000, 0, 86400),
    ],
)
def test_seconds_until_full_are_whole_and_never_too_few(rate: str, burst: int, remaining: int, seconds: int) -> None:
    assert Policy("p", Rate.parse(rate), burst).seconds_until_full(remaining) == seconds


@given(
    rate=st.builds(Rate, st.integers(1, 1000), st.sampled_from([0.01, 1.0, 60.0, 86400.0])),
    burst=st.integers(1, 50),
    cost=st.integers(1, 5),
    start=st.floats(0, 1e7),
    gaps=st.lists(st.floats(0, 3), max_size=120),
)
def test_never_more_than_the_burst_and_the_rate(
    rate: Rate, burst: int, cost: int, start: float, gaps: list[float]
) -> None:
    """In every stretch of time: what a full bucket holds, and what came in meanwhile."""
    policy = Policy("default", rate, max(burst, cost), cost)
    limiter = LocalLimiter(policy, 10)
    now, passed = start, list[float]()
    for gap in gaps:
        now += gap * policy.step
        if passes(limiter, now):
            passed.append(now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            units = (last - first + 1) * cost
            assert units <= policy.burst + (passed[last] - passed[first]) / policy.emission + 0.01
