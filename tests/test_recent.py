"""What was used stays, what was not goes, and there is never more than the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recent import Recent


def test_the_half_that_was_not_used_goes() -> None:
    recent = Recent[int](8)
    for number in range(7):
        recent.put(number, number)
        assert recent.get("used") in (None, 1)
        recent.put("used", 1)

    assert recent.get("used") == 1
    assert recent.get(0) is None
    assert recent.get(6) == 6
    assert recent.get("never") is None


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans())), st.integers(2, 12))
def test_never_more_than_the_limit_and_never_a_wrong_value(steps: list[tuple[int, bool]], limit: int) -> None:
    recent, last = Recent[int](limit), dict[int, int]()
    for number, (key, puts) in enumerate(steps):
        if puts:
            recent.put(key, number)
            last[key] = number
        assert recent.get(key) in (last.get(key), None if not puts else number)
        assert len(recent) <= limit


@given(st.lists(st.integers(0, 100), max_size=60))
def test_as_many_as_fit_in_half_of_it_are_kept_when_used(others: list[int]) -> None:
    recent = Recent[str](10)
    for key in "abc":
        recent.put(key, key)
    for other in others:
        recent.put(other, "other")
        assert [recent.get(key) for key in "abc"] == ["a", "b", "c"]


def test_a_memory_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        Recent[int](1)
