"""What was used stays, what was not goes, and there is never more than the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recent import Recent, RecentBytes


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


def test_what_was_not_used_for_longest_makes_room() -> None:
    recent = RecentBytes[str](100)
    for key in "abcd":
        recent.put(key, key.upper(), 25)
    assert recent.get("a") == "A"
    recent.put("e", "E", 25)
    assert [recent.get(key) for key in "abcde"] == ["A", None, "C", "D", "E"]
    recent.put("c", "new", 1)
    recent.put("f", "F", 24)

    assert [recent.get(key) for key in "acdef"] == ["A", "new", "D", "E", "F"]
    assert (len(recent), recent.bytes) == (5, 100)
    recent.put("g", "G", 1)
    assert recent.get("a") is None


def test_what_takes_more_than_a_quarter_is_not_kept_nor_what_it_was_before() -> None:
    recent = RecentBytes[str](100)
    recent.put("a", "small", 25)
    recent.put("a", "large", 26)

    assert recent.get("a") is None
    assert recent.bytes == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40), st.booleans())), st.integers(0, 120))
def test_never_more_bytes_than_the_limit(steps: list[tuple[int, int, bool]], limit: int) -> None:
    recent, last = RecentBytes[int](limit), dict[int, tuple[int, int]]()
    for number, (key, size, puts) in enumerate(steps):
        if puts:
            recent.put(key, number, size)
            last[key] = number, size
        else:
            recent.drop(key)
            last.pop(key, None)
        kept = {key: value for key, value in last.items() if recent.get(key) is not None}
        assert [recent.get(key) for key in kept] == [value for value, _ in kept.values()]
        assert recent.bytes == sum(size for _, size in kept.values()) <= limit
        assert len(recent) == len(kept)
