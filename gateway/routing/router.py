"""Finds the route of a request: host table, exact paths, a trie of segments, then predicates of the candidates only.

The cost depends on the length of the path, not on the number of routes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from gateway.errors import GatewayError, Kind, not_allowed
from gateway.routing.actions import Deferred, Forward
from gateway.routing.paths import check_escapes, is_plain, other_reading, segments_of
from gateway.routing.pattern import Template
from gateway.routing.predicates import Request
from gateway.routing.route import Route

HOSTS_KEPT = 1024
PATHS_KEPT = 16_384
PATH_KEPT = 256
Known = TypeVar("Known")


class Node:
    """One place in the trie. Children by how specific they are; `ends` and `rests` are sorted by rank, and `forks`
    tells of anything but literals below; `lone` is the `{name}` child where that is all there is besides them."""

    __slots__ = ("any", "ends", "forks", "literals", "lone", "name", "regexes", "rests")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.regexes: dict[str, tuple[re.Pattern[str], Node]] = {}
        self.name: Node | None = None
        self.any: Node | None = None
        self.forks = False
        self.lone: Node | None = None
        self.ends: list[Route] = []
        self.rests: list[Route] = []

    def insert(self, route: Route) -> None:
        """Add a route under its pattern."""
        node = self
        for segment in route.pattern.segments:
            node.forks = node.forks or segment.kind != "literal"
            if segment.kind == "rest":
                node.rests.append(route)
                node.rests.sort(key=_rank)
                return
            if segment.kind == "literal":
                node = node.literals.setdefault(segment.text, Node())
            elif segment.kind == "regex":
                node = node.regexes.setdefault(segment.text, (re.compile(segment.text), Node()))[1]
            elif segment.kind == "name":
                node.name = node.name or Node()
                node = node.name
            else:
                node.any = node.any or Node()
                node = node.any
        node.ends.append(route)
        node.ends.sort(key=_rank)

    def settle(self) -> None:
        """Work out what speeds `find` up, when all routes are in."""
        alone = not (self.regexes or self.any or self.rests)
        self.lone = self.name if alone else None
        children = [*self.literals.values(), *(child for _, child in self.regexes.values())]
        for child in [*children, *(below for below in (self.name, self.any) if below is not None)]:
            child.settle()

    def find(self, segments: list[str], at: int, request: Request) -> Route | None:
        """The most specific route below that accepts the request."""
        node = self
        last = len(segments)
        while at != last:
            segment = segments[at]
            child = node.literals.get(segment)
            if node.forks:
                if child is not None or node.lone is None or not segment:
                    return node._find_among(child, segments, at, request)
                node = node.lone
            elif child is None:
                return None
            else:
                node = child
            at += 1
        method = request.method
        for route in node.ends:
            if (route.methods is None or method in route.methods) and (not route.predicates or route.accepts(request)):
                return route
        for route in node.rests:
            if route.accepts(request):
                return route
        return None

    def _find_among(self, literal: Node | None, segments: list[str], at: int, request: Request) -> Route | None:
        """The children that the segment fits, the most specific first, then what takes the rest of the path."""
        if literal is not None:
            found = literal.find(segments, at + 1, request)
            if found is not None:
                return found
        segment = segments[at]
        if segment:
            for route in self._among_expressions(segments, at) if self.regexes else ():
                if route.accepts(request):
                    return route
            for below in (self.name, self.any):
                if below is not None:
                    found = below.find(segments, at + 1, request)
                    if found is not None:
                        return found
        for route in self.rests:
            if route.accepts(request):
                return route
        return None

    def _among_expressions(self, segments: list[str], at: int) -> list[Route]:
        """Routes below the expressions that the segment fits. Expressions are equally specific, so that what follows
        them decides."""
        fitting = [child for expression, child in self.regexes.values() if expression.fullmatch(segments[at])]
        routes = [route for child in fitting for route in child.candidates(segments, at + 1)]
        return sorted(routes, key=_specificity) if len(fitting) > 1 else routes

    def candidates(self, segments: list[str], at: int) -> Iterator[Route]:
        """Every route whose path fits, the most specific first."""
        if at == len(segments):
            yield from self.ends
        else:
            segment = segments[at]
            if segment in self.literals:
                yield from self.literals[segment].candidates(segments, at + 1)
            if segment:
                if self.regexes:
                    yield from self._among_expressions(segments, at)
                for below in (self.name, self.any):
                    if below is not None:
                        yield from below.candidates(segments, at + 1)
        yield from self.rests


class HostTable:
    """The routes of one host: exact paths in a dict, all of them in the trie."""

    __slots__ = ("exact", "root")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.root = Node()
        self.exact: dict[str, list[Route]] = {}
        for route in routes:
            self.root.insert(route)
            if all(segment.kind == "literal" for segment in route.pattern.segments):
                self.exact.setdefault(route.pattern.text, []).append(route)
        for found in self.exact.values():
            found.sort(key=_rank)
        self.root.settle()


def _specificity(route: Route) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    return route.specificity


def _rank(route: Route) -> tuple[int, int, int]:
    return route.rank


class Router:
    """All routes. Immutable but for three bounded memories, cleared when full: `_hosts`, the tables to ask for a Host
    value; and by host, method and path, where no route asks for more than that, the routes that were `_found`, and
    the methods allowed where one was `_missed`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._prioritised = any(route.priority for route in self.routes)
        by_host: dict[str | None, list[Route]] = {}
        for route in self.routes:
            by_host.setdefault(route.host, []).append(route)
        self._tables = {host: HostTable(found) for host, found in by_host.items()}
        self._wildcards = any(host is not None and host.startswith("*.") for host in by_host)
        self._hosts: dict[str, tuple[HostTable, ...]] = {}
        self._memorable = not any(route.predicates for route in self.routes)
        self._found: dict[tuple[str, str, str], Route] = {}
        self._missed: dict[tuple[str, str, str], frozenset[str]] = {}

    def find(self, host: str, raw_path: str, request: Request) -> Route | None:
        """The route of a request, or None.

        GatewayError when the path can be read in two ways that lead to different places.
        """
        key = (host, request.method, raw_path)
        found = self._found.get(key)
        if found is not None or key in self._missed:
            return found
        if is_plain(raw_path):
            found = self._find(host, raw_path, raw_path.split("/"), 1, request)
            if found is not None:
                self._remember(self._found, key, found)
            return found
        check_escapes(raw_path)
        route = self._find(host, None, segments_of(raw_path), 0, request)
        _check_other_reading(self, route, host, raw_path, request)
        return route

    def _find(self, host: str, path: str | None, segments: list[str], at: int, request: Request) -> Route | None:
        tables = self._hosts.get(host) or self._tables_of(host)
        if self._prioritised:
            candidates = [route for table in tables for route in table.root.candidates(segments, at)]
            candidates.sort(key=lambda route: -route.priority)
            return next((route for route in candidates if route.accepts(request)), None)
        for table in tables:
            if path is not None:
                for route in table.exact.get(path, ()):
                    if route.accepts(request):
                        return route
            found = table.root.find(segments, at, request)
            if found is not None:
                return found
        return None

    def candidates(self, host: str, raw_path: str) -> list[Route]:
        """Every route whose host and path fit, in the order in which they are asked."""
        segments = segments_of(raw_path)
        tables = self._hosts.get(host) or self._tables_of(host)
        found = [route for table in tables for route in table.root.candidates(segments, 0)]
        return sorted(found, key=lambda route: -route.priority)

    def allowed(self, host: str, raw_path: str, request: Request) -> frozenset[str]:
        """The methods for the `Allow` of a 405; empty when the answer is 404.

        405 only when every candidate failed on its method alone.
        """
        key = (host, request.method, raw_path)
        known = self._missed.get(key)
        if known is None:
            known = self._allowed(host, segments_of(raw_path), request)
            if is_plain(raw_path):
                self._remember(self._missed, key, known)
        return known

    def _allowed(self, host: str, segments: list[str], request: Request) -> frozenset[str]:
        methods: set[str] = set()
        for table in self._hosts.get(host) or self._tables_of(host):
            for route in table.root.candidates(segments, 0):
                if not all(predicate.matches(request) for predicate in route.predicates):
                    return frozenset()
                methods.update(route.methods or ())
        return frozenset(methods)

    def nodes(self) -> Iterator[Node]:
        """Every node of every trie, in no order."""
        pending = [table.root for table in self._tables.values()]
        while pending:
            node = pending.pop()
            yield node
            pending += node.literals.values()
            pending += [child for _, child in node.regexes.values()]
            pending += [child for child in (node.name, node.any) if child is not None]

    def _remember(self, memory: dict[tuple[str, str, str], Known], key: tuple[str, str, str], known: Known) -> None:
        if self._memorable and len(key[2]) <= PATH_KEPT:
            if len(memory) >= PATHS_KEPT:
                memory.clear()
            memory[key] = known

    def preflight(self, host: str, raw_path: str) -> Route | None:
        """The route with a plugin that answers a CORS preflight for its path, whatever methods the route takes."""
        for route in self.candidates(host, raw_path):
            if any(getattr(plugin, "answers_preflight", False) for plugin in route.chain.plugins):
                return route
        return None

    def missed(self, host: str, raw_path: str, request: Request) -> Route | None:
        """Where `find` found nothing: None for a 404, or the route whose plugin answers this preflight. GatewayError
        with `Allow` for a 405."""
        allowed = self.allowed(host, raw_path, request)
        if not allowed:
            return None
        if request.method == "OPTIONS" and request.headers.get("access-control-request-method"):
            route = self.preflight(host, raw_path)
            if route is not None:
                return route
        raise not_allowed(request.method, allowed)

    def _tables_of(self, host: str) -> tuple[HostTable, ...]:
        """The tables to ask, the most specific first: exact, wildcards by length, routes without a host."""
        name = host_name(host)
        keys: list[str | None] = [name]
        if self._wildcards:
            labels = name.split(".")
            keys += ["*." + ".".join(labels[start:]) for start in range(1, len(labels))]
        keys.append(None)
        tables = tuple(self._tables[key] for key in keys if key in self._tables)
        if len(self._hosts) >= HOSTS_KEPT:
            self._hosts.clear()
        self._hosts[host] = tables
        return tables

    def __repr__(self) -> str:
        return f"<Router {len(self.routes)} routes on {len(self._tables)} hosts>"


def host_name(host: str) -> str:
    """Lower case, without port and without the root's dot."""
    name = host.lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].removesuffix(".")


def _check_other_reading(router: Router, route: Route | None, host: str, raw_path: str, request: Request) -> None:
    """Both readings must choose the same route, and stay in the part that a rewrite keeps.

    For a rewrite: to rewrite and then read eagerly must give what reading eagerly and then rewriting gives.
    """
    read = other_reading(raw_path)
    segments = read.split("/")
    other = router._find(host, None, segments, 1, request)
    if other is not route:
        raise GatewayError(Kind.AMBIGUOUS_PATH, "another reading of the path leads elsewhere")
    if route is None:
        return
    for template in _templates(route):
        kept = other_reading(template.expand(route.pattern.capture(raw_path)).partition("?")[0])
        meant = other_reading(template.expand(route.pattern.capture(escaped(read))).partition("?")[0])
        if kept != meant:
            raise GatewayError(Kind.AMBIGUOUS_PATH, "another reading of the path leaves the part that is kept")


def _templates(route: Route) -> tuple[Template, ...]:
    """The paths for upstreams that captures are put into."""
    action = route.action
    if isinstance(action, Deferred):
        return action.paths
    if isinstance(action, Forward) and action.rewrite is not None and action.rewrite.path is not None:
        return (action.rewrite.path,)
    return ()


def escaped(path: str) -> str:
    """Decoded text as a raw path again, so that reading it once more changes nothing."""
    return path.replace("%", "%25").replace("?", "%3F")
