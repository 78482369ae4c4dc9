"""Patterns and templates."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.routing.pattern import parse_pattern, parse_template


@pytest.mark.parametrize(
    ("text", "kinds", "names"),
    [
        ("/", ["literal"], []),
        ("/a/b", ["literal", "literal"], []),
        ("/a/", ["literal", "literal"], []),
        ("/a/{id}", ["literal", "name"], ["id"]),
        ("/a/{id:[0-9]+}", ["literal", "regex"], ["id"]),
        ("/a/{id:[0-9]{2,3}}", ["literal", "regex"], ["id"]),
        ("/a/{id:x/y}", ["literal", "regex"], ["id"]),
        ("/*/b", ["any", "literal"], []),
        ("/o/**", ["literal", "rest"], ["**"]),
        ("/o/{*tail}", ["literal", "rest"], ["tail"]),
    ],
)
def test_parsed(text: str, kinds: list[str], names: list[str]) -> None:
    pattern = parse_pattern(text)
    assert [segment.kind for segment in pattern.segments] == kinds
    assert pattern.names == frozenset(names)
    assert str(pattern) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "/a?b",
        "/a#b",
        "/**/b",
        "/{*x}/b",
        "/{a}/{a}",
        "/x{a}",
        "/{a}x",
        "/a*",
        "/{",
        "/{a",
        "/{1a}",
        "/{}",
        "/{a:(}",
        "/{a:[}",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        ("/a/{id}", "/a/1%202", {"id": "1%202"}),
        ("/o/**", "/o", {"**": ""}),
        ("/o/**", "/o/", {"**": ""}),
        ("/o/**", "/o/a/b/", {"**": "a/b/"}),
        ("/{a}/*/{*b}", "/1/2/3/4", {"a": "1", "b": "3/4"}),
    ],
)
def test_captured_raw(pattern: str, path: str, captured: dict[str, str]) -> None:
    assert parse_pattern(pattern).capture(path) == captured


def test_template() -> None:
    template = parse_template("/x/{id}/{**}?a={id}", frozenset(["id", "**"]))
    assert template.names == {"id", "**"}
    assert template.expand({"id": "1%2F", "**": "a/b"}) == "/x/1%2F/a/b?a=1%2F"
    assert parse_template("/{*rest}", frozenset(["rest"])).expand({"rest": "a/b"}) == "/a/b"
    assert parse_template("/plain", frozenset()).expand({}) == "/plain"


@pytest.mark.parametrize("text", ["/{id}", "/{", "/}", "/{id:x}", "/{a b}"])
def test_template_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_template(text, frozenset(["other"]))
