"""Why a request takes the route it takes: every candidate with the verdict of each of its conditions, what sets the
candidates apart, and why there is none. Pure; asks the same router that serves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from urllib.parse import parse_qsl

from gateway.errors import GatewayError, Kind
from gateway.routing.actions import Forward
from gateway.routing.paths import other_reading, segments_of
from gateway.routing.pattern import Pattern, Segment
from gateway.routing.predicates import ROUTABLE, HeaderPredicate, Predicate, Request
from gateway.routing.route import Route
from gateway.routing.router import Router, escaped, host_name

NEVER_ROUTED = ("CONNECT", "TRACE")
# Their values are nobody's business, wherever the explanation is read.
HIDDEN = frozenset(("authorization", "cookie", "proxy-authorization", "x-api-key"))
MASK = "***"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a route. `kind` is host, path, methods, header or query; `found` is what the request has."""

    kind: str
    wanted: str
    found: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route whose host and path fit. `verdict` is chosen; refused; later, where it accepts but another is before it;
    or fits, where the answer is 400 all the same."""

    route: Route
    checks: tuple[Check, ...]
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What routing decides. `status` is None with a route, else 400, 404 or 405; `allow` are the methods of a 405."""

    route: Route | None
    status: int | None
    why: str
    candidates: tuple[Candidate, ...] = ()
    allow: tuple[str, ...] = ()


def explain(router: Router, host: str, raw_path: str, request: Request) -> Explanation:
    """Route a request, and say why. `host` is the Host field, `raw_path` the path without its query."""
    if request.method in NEVER_ROUTED or raw_path == "*":
        return Explanation(None, 405, f"{request.method} {raw_path} is never routed", allow=tuple(sorted(ROUTABLE)))
    candidates = router.candidates(host, raw_path)
    try:
        winner = router.find(host, raw_path, request)
    except GatewayError as error:
        why = _ambiguity(router, host, raw_path, request) if error.kind is Kind.AMBIGUOUS_PATH else error.detail
        return Explanation(None, 400, why, _judged(candidates, None, raw_path, request))
    if winner is not None:
        judged = _judged(candidates, winner, raw_path, request)
        return Explanation(winner, None, _why_chosen(winner, judged), judged)
    judged = _judged(candidates, None, raw_path, request)
    if not candidates:
        return Explanation(None, 404, "no route has a host and a path that fit")
    allowed = tuple(sorted(router.allowed(host, raw_path, request)))
    if not allowed:
        return Explanation(None, 404, "every route whose host and path fit refuses the request", judged)
    answering = _preflight(candidates, request)
    if answering is not None:
        why = "a preflight, which a plugin of this route answers whatever the route's methods are"
        return Explanation(answering, None, why, _judged(candidates, answering, raw_path, request))
    return Explanation(None, 405, f"every route whose host and path fit refuses {request.method}", judged, allowed)


def misfits(router: Router, host: str, raw_path: str) -> list[tuple[Route, str]]:
    """Every route that is no candidate, in file order, and where its host or path differs."""
    fitting = set(map(id, router.candidates(host, raw_path)))
    name = host_name(host)
    segments = segments_of(raw_path)
    found = []
    for route in router.routes:
        if id(route) not in fitting:
            if _host_fits(route.host, name):
                why = _difference(route.pattern, segments)
            else:
                why = f"its host is {route.host}, the request's {name or 'empty'}"
            found.append((route, why))
    return found


def precedence(first: Route, second: Route) -> str:
    """Why `first` is asked before `second`, where both fit."""
    if first.priority != second.priority:
        return f"priority {first.priority} goes before {second.priority}"
    if first.host != second.host:
        return f"host {first.host} is more specific than {second.host or 'any host'}"
    for number, (mine, other) in enumerate(zip_longest(first.pattern.segments, second.pattern.segments), start=1):
        if mine is None:
            return f"its path ends where the other has {_shown(other)}"
        if other is None or mine.kind != other.kind:
            return f"segment {number} of its path is more specific: {_shown(mine)} before {_shown(other)}"
        if mine.text != other.text:
            return f"{_shown(mine)} comes before {_shown(other)} in the file"
    asks, others = (len(route.predicates) + (route.methods is not None) for route in (first, second))
    if asks != others:
        return f"it asks for more besides host and path ({asks} to {others})"
    return "it stands first in the file"


# candidates


def _judged(
    candidates: Iterable[Route], winner: Route | None, raw_path: str, request: Request
) -> tuple[Candidate, ...]:
    judged = []
    for route in candidates:
        checks = _checks(route, raw_path, request)
        refusals = [check for check in checks if not check.passed]
        if route is winner:
            verdict, why = "chosen", ""
        elif refusals:
            verdict, why = "refused", "; ".join(f"{check.wanted}, and it is {check.found}" for check in refusals)
        elif winner is not None:
            verdict, why = "later", f"{winner.name} is before it: {precedence(winner, route)}"
        else:
            verdict, why = "fits", ""
        judged.append(Candidate(route, checks, verdict, why))
    return tuple(judged)


def _checks(route: Route, raw_path: str, request: Request) -> tuple[Check, ...]:
    captured = ", ".join(f"{name} = {value}" for name, value in route.pattern.capture(raw_path).items())
    checks = [
        Check("host", route.host or "any host", "it fits", True),
        Check("path", str(route.pattern), captured or "it fits", True),
    ]
    if route.methods is not None:
        wanted = f"method is {' or '.join(sorted(route.methods))}"
        checks.append(Check("methods", wanted, request.method, request.method in route.methods))
    checks += [
        Check(
            "header" if isinstance(predicate, HeaderPredicate) else "query",
            str(predicate),
            _found(predicate, request),
            predicate.matches(request),
        )
        for predicate in route.predicates
    ]
    return tuple(checks)


def _found(predicate: Predicate, request: Request) -> str:
    if isinstance(predicate, HeaderPredicate):
        values = request.headers.get_all(predicate.name)
        if values and predicate.name.lower() in HIDDEN:
            return MASK
    else:
        pairs = parse_qsl(request.query, keep_blank_values=True)
        values = [value for name, value in pairs if name == predicate.name]
    return ", ".join(map(repr, values)) if values else "absent"


def _why_chosen(winner: Route, judged: tuple[Candidate, ...]) -> str:
    if len(judged) == 1:
        return "the only route whose host and path fit"
    place = next(number for number, candidate in enumerate(judged) if candidate.route is winner)
    reasons = []
    if place:
        names = " and ".join(candidate.route.name for candidate in judged[:place])
        reasons.append(f"{names}, asked before it, refused")
    following = next((candidate.route for candidate in judged[place + 1 :]), None)
    if following is not None:
        reasons.append(f"before {following.name}: {precedence(winner, following)}")
    return "; ".join(reasons)


def _preflight(candidates: Iterable[Route], request: Request) -> Route | None:
    if request.method != "OPTIONS" or not request.headers.get("access-control-request-method"):
        return None
    for route in candidates:
        if any(getattr(plugin, "answers_preflight", False) for plugin in route.chain.plugins):
            return route
    return None


# paths


def _ambiguity(router: Router, host: str, raw_path: str, request: Request) -> str:
    try:
        read = other_reading(raw_path)
    except GatewayError as error:
        return error.detail
    sent = _first(router.candidates(host, raw_path), request)
    other = _first(router.candidates(host, escaped(read)), request)
    two_ways = "the path can be read in two ways"
    if sent is not other or sent is None:
        return f"{two_ways}: as sent it would reach {_named(sent)}, read as {read!r} it would reach {_named(other)}"
    template = sent.action.rewrite.path if isinstance(sent.action, Forward) and sent.action.rewrite else None
    if template is None:
        return f"{two_ways}: as sent, and as {read!r}"
    ways = [template.expand(sent.pattern.capture(path)) for path in (raw_path, escaped(read))]
    return f"{two_ways}, and {sent.name} would rewrite the one to {ways[0]!r}, the other to {ways[1]!r}"


def _first(candidates: Iterable[Route], request: Request) -> Route | None:
    return next((route for route in candidates if route.accepts(request)), None)


def _named(route: Route | None) -> str:
    return route.name if route is not None else "no route"


def _host_fits(pattern: str | None, name: str) -> bool:
    if pattern is None or pattern == name:
        return True
    return pattern.startswith("*.") and name.endswith(pattern[1:]) and len(name) >= len(pattern)


def _difference(pattern: Pattern, segments: list[str]) -> str:
    """Where a pattern and the segments of a path first differ."""
    for number, segment in enumerate(pattern.segments):
        if segment.kind == "rest":
            break
        if number >= len(segments):
            return f"the path ends before segment {number + 1}, {_shown(segment)}"
        if not _segment_fits(segment, segments[number]):
            return f"segment {number + 1} is {segments[number]!r}, not {_shown(segment)}"
    else:
        if len(segments) > len(pattern.segments):
            return f"the path goes on with {segments[len(pattern.segments)]!r}"
    return "its path fits"


def _segment_fits(segment: Segment, value: str) -> bool:
    if segment.kind == "literal":
        return segment.text == value
    if segment.kind == "regex":
        return bool(value) and re.fullmatch(segment.text, value) is not None
    return bool(value)


def _shown(segment: Segment | None) -> str:
    if segment is None:
        return "nothing"
    if segment.kind == "literal":
        return repr(segment.text)
    if segment.kind == "regex":
        return f"{{{segment.name}:{segment.text}}}"
    if segment.kind == "name":
        return f"{{{segment.name}}}"
    return "*" if segment.kind == "any" else "**" if segment.name == "**" else f"{{*{segment.name}}}"
