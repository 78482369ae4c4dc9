"""Which routes can never be chosen, because another takes all their requests first. Only what is certain is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gateway.routing.pattern import Pattern, Segment
from gateway.routing.route import Route

KINDS = ("literal", "regex", "name", "any", "rest")


def shadowed(routes: Iterable[Route]) -> Iterator[tuple[Route, Route]]:
    """Pairs (hidden, the one that hides it), each hidden route once, in file order."""
    routes = list(routes)
    alike: dict[tuple[str | None, tuple[tuple[str, str], ...]], list[Route]] = {}
    for route in routes:
        alike.setdefault((route.host, _shape(route.pattern)), []).append(route)
    # A route that takes more than another is asked after it, unless its priority is higher.
    lowest = min((route.priority for route in routes), default=0)
    raised: dict[str | None, list[Route]] = {}
    for route in routes:
        if route.priority > lowest:
            raised.setdefault(_first_literal(route.pattern), []).append(route)
    for route in routes:
        others = alike[route.host, _shape(route.pattern)]
        if raised:
            first = _first_literal(route.pattern)
            others = [*others, *raised.get(first, ()), *(raised.get(None, ()) if first is not None else ())]
        hider = next((other for other in others if _hides(other, route)), None)
        if hider is not None:
            yield route, hider


def _shape(pattern: Pattern) -> tuple[tuple[str, str], ...]:
    """Equal for patterns that match the same: `*` takes what `{name}` takes."""
    return tuple(("name" if segment.kind == "any" else segment.kind, segment.text) for segment in pattern.segments)


def _first_literal(pattern: Pattern) -> str | None:
    first = pattern.segments[0]
    return first.text if first.kind == "literal" else None


def _hides(one: Route, other: Route) -> bool:
    return one is not other and _is_asked_first(one, other) and _takes_all(one, other)


def _is_asked_first(one: Route, other: Route) -> bool:
    """Of two routes where the one takes all that the other takes."""
    if one.priority != other.priority:
        return one.priority > other.priority
    if one.host != other.host:
        return False
    mine, theirs = ([KINDS.index(segment.kind) for segment in route.pattern.segments] for route in (one, other))
    # Of two that take the same the one with `{name}` is asked before the one with `*`.
    return (mine, one.rank) < (theirs, other.rank) if _shape(one.pattern) == _shape(other.pattern) else False


def _takes_all(one: Route, other: Route) -> bool:
    if one.methods is not None and (other.methods is None or not other.methods <= one.methods):
        return False
    if not {str(predicate) for predicate in one.predicates} <= {str(predicate) for predicate in other.predicates}:
        return False
    return _host_covers(one.host, other.host) and _path_covers(one.pattern.segments, other.pattern.segments)


def _host_covers(one: str | None, other: str | None) -> bool:
    if one is None or one == other:
        return True
    return other is not None and one.startswith("*.") and other.removeprefix("*").endswith(one[1:])


def _path_covers(one: tuple[Segment, ...], other: tuple[Segment, ...]) -> bool:
    for number, mine in enumerate(one):
        if mine.kind == "rest":
            return True
        if number >= len(other) or not _segment_covers(mine, other[number]):
            return False
    return len(one) == len(other)


def _segment_covers(one: Segment, other: Segment) -> bool:
    if one.kind == "literal" or other.kind == "rest":
        return one.kind == other.kind and one.text == other.text
    if other.kind == "literal":
        return bool(other.text) and (one.kind != "regex" or re.fullmatch(one.text, other.text) is not None)
    return one.kind != "regex" or (other.kind == "regex" and one.text == other.text)
