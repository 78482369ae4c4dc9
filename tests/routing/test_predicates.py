"""What a route asks of a request besides host and path."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.routing.predicates import HeaderPredicate, QueryPredicate, Value, with_head


class Fields:
    def __init__(self, *fields: tuple[str, str]) -> None:
        self.fields = fields

    def get_all(self, name: str) -> list[str]:
        return [value for found, value in self.fields if found.lower() == name.lower()]


@pytest.mark.parametrize(
    ("wanted", "value", "accepted"),
    [
        ("1", "1", True),
        ("1", "11", False),
        ("~1", "1", True),
        ("~1", "11", False),
        ("~2|3", "3", True),
        ("~2|3", "23", False),
        ("~2|3", "3x", False),
        ("~.*", "", True),
        ("", "", True),
        ("~a", "a\n", False),
    ],
)
def test_value(wanted: str, value: str, accepted: bool) -> None:
    assert Value(wanted).accepts(value) is accepted


def test_header() -> None:
    predicate = HeaderPredicate("X-Beta", "1")
    assert predicate.matches(SimpleNamespace(headers=Fields(("x-beta", "0"), ("X-BETA", "1"))))
    assert not predicate.matches(SimpleNamespace(headers=Fields()))
    assert str(predicate) == "header X-Beta is '1'"


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("v=2", True),
        ("v=3", True),
        ("v=1&v=2", True),
        ("V=2", False),
        ("v=23", False),
        ("", False),
        ("v=%32", True),
        ("v", False),
    ],
)
def test_query(query: str, matches: bool) -> None:
    predicate = QueryPredicate("v", "~2|3")
    assert predicate.matches(SimpleNamespace(query=query)) is matches
    assert str(predicate) == "query v is '~2|3'"


def test_blank_query_value() -> None:
    assert QueryPredicate("v", "").matches(SimpleNamespace(query="v"))
    assert QueryPredicate("v", "").matches(SimpleNamespace(query="v="))


def test_a_query_with_very_many_parameters_is_no_crash() -> None:
    assert not QueryPredicate("v", "1").matches(SimpleNamespace(query="a=1&" * 8000))


def test_get_takes_head_along() -> None:
    assert with_head(None) is None
    assert with_head(("GET", "POST")) == {"GET", "HEAD", "POST"}
    assert with_head(("POST",)) == {"POST"}
