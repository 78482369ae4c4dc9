"""The strictest reading counts, and what cannot be read is not kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers.cache_control import UNREADABLE, CacheControl, delta_seconds, read_cache_control


def said(*directives: str, max_age: int | None = None, s_maxage: int | None = None) -> CacheControl:
    return CacheControl(frozenset(directives), max_age, s_maxage)


@pytest.mark.parametrize(
    ("field", "expected"),
    (
        ("", said()),
        (" ,\t, ", said()),
        ("Private", said("private")),
        ("max-age=5, S-MAXAGE=7 ,public", said("max-age", "s-maxage", "public", max_age=5, s_maxage=7)),
        ("max-age=9,max-age=5, max-age=7", said("max-age", max_age=5)),
        ("max-age=9, max-age", said("max-age", max_age=0)),
        ('max-age="5"', said("max-age", max_age=5)),
        ("max-age=-5", said("max-age", max_age=0)),
        ('private="x-a, no-store, max-age=1", max-age=5', said("private", "max-age", max_age=5)),
        ('x="\\", no-store"', said("x")),
        ("x-max-age=5", said("x-max-age")),
        ("max-age=5; private", UNREADABLE),
        ('private="x', UNREADABLE),
        ("max-age = 5", UNREADABLE),
        ("(", UNREADABLE),
    ),
)
def test_what_a_field_says(field: str, expected: CacheControl) -> None:
    assert read_cache_control(field) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    (("0", 0), ("007", 7), ("999999999", 999_999_999), ("1000000000", 0), ("", 0), ("-1", 0), ("1.5", 0), ("٣", 0)),
)
def test_delta_seconds(text: str, expected: int) -> None:
    assert delta_seconds(text) == expected


@given(st.text('max-ageMAX=012,;"\\ \t', max_size=60))
def test_any_field_can_be_read(field: str) -> None:
    read = read_cache_control(field)

    assert (read.max_age is None) is ("max-age" not in read.directives) or read is UNREADABLE
    assert 0 <= (read.max_age or 0) <= 999_999_999
