"""The `tests:` of a configuration: requests, and what should become of them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.compile import Generation
from gateway.config.load import Loaded
from gateway.config.masking import masked
from gateway.config.nodes import Path
from gateway.config.problems import Problem
from gateway.config.specs import RouteTestSpec
from gateway.dry_run import DryRun, dry_run, make_request


def run_route_tests(generation: Generation, loaded: Loaded) -> list[Problem]:
    """What does not come as expected, each at its place in the file."""
    problems = []
    for at, frontend, asked, test in _tests(generation, loaded):
        method, _, url = test.request.partition(" ")
        try:
            request = make_request(method, url, test.headers.items(), generation.table.identity_headers)
        except ValueError as error:
            problems.append(Problem(loaded.position((*at, "request")), f"route test: {error}"))
            continue
        run = dry_run(generation, loaded, request, others=True, frontend=asked)
        for key, message in _differences(test, run, frontend):
            place = loaded.position((*at, "request") if key == "request" else (*at, "expect", key))
            hint = _reason(run, test.expect.route) if key == "route" else ""
            problems.append(Problem(place, f"route test {test.request!r}: {message}", hint))
    return [masked(problem, generation.secrets) for problem in problems]


def count_route_tests(generation: Generation) -> int:
    """How many there are."""
    return len(generation.spec.tests) + sum(len(frontend.tests) for frontend in generation.frontends)


def _tests(generation: Generation, loaded: Loaded) -> Iterator[tuple[Path, str, str, RouteTestSpec]]:
    """Each with its place, whose it is, and the frontend whose listener is asked, "" where the request chooses."""
    for number, test in enumerate(generation.spec.tests):
        yield ("tests", number), "", "", test
    for frontend in generation.frontends:
        by_itself = frontend.bind is None and frontend.has_conditions
        for number, test in enumerate(frontend.tests):
            at = (*loaded.path_of(frontend.name), "tests", number)
            yield at, frontend.name, "" if by_itself else frontend.name, test


def _differences(test: RouteTestSpec, run: DryRun, frontend: str) -> list[tuple[str, str]]:
    """Pairs (key of expect, or `request`, what is there instead)."""
    expect = test.expect
    route = run.explanation.route
    got = f"the route {route.name!r}" if route is not None else f"no route ({run.status})"
    if run.frontend != frontend:
        whose = [f"the frontend {name!r}" if name else "no frontend" for name in (frontend, run.frontend)]
        return [("request", f"it belongs to {whose[1]}, not to {whose[0]}: {got}")]
    found = []
    if expect.route is not None and (route is None or route.name != expect.route):
        found.append(("route", f"expected the route {expect.route!r}, got {got}"))
    names = dict.fromkeys(run.upstreams)
    if expect.upstream is not None and expect.upstream not in names:
        to = f"{got}, to {(' and ' if run.parts else ' or ').join(names)}" if names else got
        found.append(("upstream", f"expected the upstream {expect.upstream!r}, got {to}"))
    # With a query in the expectation the query is compared too.
    path = run.target if expect.path is not None and "?" in expect.path else run.target.partition("?")[0]
    if expect.path is not None and path != expect.path:
        found.append(("path", f"expected the path {expect.path!r}, got {repr(path) if path else got}"))
    if expect.status is not None and run.status != expect.status:
        status = str(run.status) if run.status is not None else f"{got}, where the upstream decides"
        found.append(("status", f"expected the status {expect.status}, got {status}"))
    return found


def _reason(run: DryRun, expected: str | None) -> str:
    """Why it is not the expected route."""
    for candidate in run.explanation.candidates:
        if candidate.route.name == expected and candidate.why:
            return f"{expected} refuses: {candidate.why}" if candidate.verdict == "refused" else candidate.why
    for route, why in run.others:
        if route.name == expected:
            return f"of {expected}: {why}"
    return run.explanation.why
