"""Which routes can never be chosen, because another takes all their requests first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.routing.route import Route


def shadowed(routes: Iterable[Route]) -> Iterator[tuple[Route, Route]]:
    """Pairs (hidden, the one that hides it). Only what is certain: the same host, and paths that match the same."""
    groups: dict[tuple[str | None, tuple[tuple[str, str], ...]], list[Route]] = {}
    for route in routes:
        key = (route.host, tuple((segment.kind, segment.text) for segment in route.pattern.segments))
        groups.setdefault(key, []).append(route)
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=lambda route: route.rank)
            yield from _within(group)


def _within(group: list[Route]) -> Iterator[tuple[Route, Route]]:
    for place, route in enumerate(group):
        for earlier in group[:place]:
            if _takes_all(earlier, route):
                yield route, earlier
                break


def _takes_all(earlier: Route, later: Route) -> bool:
    if earlier.methods is not None and (later.methods is None or not later.methods <= earlier.methods):
        return False
    asked = {str(predicate) for predicate in earlier.predicates}
    return asked <= {str(predicate) for predicate in later.predicates}
