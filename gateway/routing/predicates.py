"""What a route asks of a request besides host and path. Each predicate can say itself in words, for `explain`."""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import parse_qsl

from gateway.exchange import Headers


class Request(Protocol):
    """What predicates look at."""

    @property
    def method(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def headers(self) -> Headers: ...


class Value:
    """A value to compare with: exact, or `~` and a regular expression that must match the whole."""

    __slots__ = ("_match", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._match = re.compile(text[1:]).fullmatch if text.startswith("~") else None

    def accepts(self, value: str) -> bool:
        """Is it the wanted value?"""
        return value == self.text if self._match is None else self._match(value) is not None


class HeaderPredicate:
    """A header field has the value; one of several is enough."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = Value(value)

    def matches(self, request: Request) -> bool:
        """Does the request satisfy it?"""
        return any(map(self.value.accepts, request.headers.get_all(self.name)))

    def __str__(self) -> str:
        return f"header {self.name} is {self.value.text!r}"


class QueryPredicate:
    """A query parameter has the value; one of several is enough."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = Value(value)

    def matches(self, request: Request) -> bool:
        """Does the request satisfy it?"""
        pairs = parse_qsl(request.query, keep_blank_values=True)
        return any(name == self.name and self.value.accepts(value) for name, value in pairs)

    def __str__(self) -> str:
        return f"query {self.name} is {self.value.text!r}"


# What a route without `methods` takes; CONNECT and TRACE are never routed.
ROUTABLE = frozenset(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
Predicate = HeaderPredicate | QueryPredicate


def with_head(methods: tuple[str, ...] | None) -> frozenset[str] | None:
    """The methods a route takes: GET takes HEAD along (RFC 9110 §9.3.2), None takes all but TRACE and CONNECT."""
    if methods is None:
        return None
    return frozenset(methods) | ({"HEAD"} if "GET" in methods else frozenset())
