"""Why a request takes the route it takes; the explanation never disagrees with the router."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain import Chain
from gateway.errors import GatewayError
from gateway.exchange import Reply
from gateway.plugin import Plugin
from gateway.routing.actions import Forward, Respond, Rewrite
from gateway.routing.explain import explain, misfits, precedence
from gateway.routing.pattern import parse_pattern, parse_template
from gateway.routing.predicates import HeaderPredicate, QueryPredicate, with_head
from gateway.routing.route import Route
from gateway.routing.router import Router
from gateway.testing import make_env, make_exchange

ANSWER = Respond(Reply.empty())


class Preflights(Plugin):
    answers_preflight = True


def make_route(name: str, path: str, methods: tuple[str, ...] | None = None, **options: Any) -> Route:
    return Route(name, parse_pattern(path), options.pop("action", ANSWER), methods=with_head(methods), **options)


def router(*routes: Route) -> Router:
    for order, route in enumerate(routes):
        route.order = order
    return Router(routes)


def ask(routes: Router, line: str, host: str = "a", **headers: str) -> Any:
    method, _, target = line.partition(" ")
    exchange = make_exchange(method, target, {name.replace("_", "-"): value for name, value in headers.items()})
    return explain(routes, host, exchange.raw_path, exchange)


def verdicts(found: Any) -> dict[str, str]:
    return {candidate.route.name: candidate.verdict for candidate in found.candidates}


def test_the_winner_and_what_every_candidate_says() -> None:
    beta = HeaderPredicate("X-Beta", "1")
    routes = router(
        make_route("all", "/api/**"),
        make_route("item", "/api/items/{id}", ("GET",), predicates=(beta, QueryPredicate("v", "~2|3"))),
        make_route("any", "/api/items/*"),
    )
    found = ask(routes, "GET /api/items/42?v=4", X_Beta="1")
    assert (found.route.name, found.status) == ("any", None)
    assert verdicts(found) == {"item": "refused", "any": "chosen", "all": "later"}
    item, _, last = found.candidates
    assert [(check.kind, check.found, check.passed) for check in item.checks] == [
        ("host", "it fits", True),
        ("path", "id = 42", True),
        ("methods", "GET", True),
        ("header", "'1'", True),
        ("query", "'4'", False),
    ]
    assert item.why == "query v is '~2|3', and it is '4'"
    assert last.why == "any is before it: segment 2 of its path is more specific: 'items' before **"
    assert found.why.startswith("item, asked before it, refused; before all: segment 2")


def test_the_only_one() -> None:
    assert ask(router(make_route("a", "/a")), "GET /a").why == "the only route whose host and path fit"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({"path": "/**", "priority": 2}, {"path": "/a"}, "priority 2 goes before 0"),
        ({"path": "/**", "host": "x.a"}, {"path": "/a", "host": "*.a"}, "host x.a is more specific than *.a"),
        ({"path": "/**", "host": "*.a"}, {"path": "/a"}, "host *.a is more specific than any host"),
        ({"path": "/a/b"}, {"path": "/a/{x:.+}"}, "segment 2 of its path is more specific: 'b' before {x:.+}"),
        ({"path": "/a/{x:b}"}, {"path": "/a/{x}"}, "segment 2 of its path is more specific: {x:b} before {x}"),
        ({"path": "/a/{x}"}, {"path": "/a/*"}, "segment 2 of its path is more specific: {x} before *"),
        ({"path": "/a/*"}, {"path": "/a/{*r}"}, "segment 2 of its path is more specific: * before {*r}"),
        ({"path": "/{x:a}"}, {"path": "/{x:[ab]}"}, "{x:a} comes before {x:[ab]} in the file"),
        ({"path": "/a"}, {"path": "/a/**"}, "its path ends where the other has **"),
        ({"path": "/a", "methods": ("GET",)}, {"path": "/a"}, "it asks for more besides host and path (1 to 0)"),
        ({"path": "/a"}, {"path": "/a"}, "it stands first in the file"),
    ],
)
def test_what_sets_two_routes_apart(first: dict[str, Any], second: dict[str, Any], why: str) -> None:
    one, other = make_route("one", **first), make_route("other", **second)
    assert precedence(one, other) == why
    line = "GET /a/b" if "/a/" in f"{first['path']} {second['path']}" and "ends" not in why else "GET /a"
    # The router agrees, whichever stands first in the file; unless that is what decides.
    assert ask(router(one, other), line, host="x.a").route is one
    if "file" not in why:
        assert ask(router(other, one), line, host="x.a").route is one


def test_no_route() -> None:
    routes = router(make_route("a", "/a", predicates=(QueryPredicate("v", "1"),)), make_route("b", "/b", ("POST",)))
    found = ask(routes, "GET /nowhere")
    assert (found.route, found.status, found.candidates) == (None, 404, ())
    found = ask(routes, "GET /a")
    assert (found.status, verdicts(found)) == (404, {"a": "refused"})
    assert found.candidates[0].why == "query v is '1', and it is absent"
    found = ask(routes, "GET /b")
    assert (found.status, found.allow) == (405, ("POST",))
    for line in ("TRACE /a", "CONNECT /a", "OPTIONS *"):
        assert ask(routes, line).status == 405


def test_a_preflight_reaches_the_route_whose_plugin_answers_it() -> None:
    chain = Chain([Preflights(None, make_env())])
    routes = router(make_route("plain", "/a", ("GET",)), make_route("cors", "/a", ("POST",), chain=chain))
    found = ask(routes, "OPTIONS /a", Access_Control_Request_Method="POST")
    assert found.route.name == "cors"
    assert "preflight" in found.why
    assert ask(routes, "OPTIONS /a").status == 405


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("GET /a/%2e%2e/admin", ["as sent it would reach all", "read as '/admin' it would reach admin"]),
        ("GET /x/..%2fy", ["as sent it would reach no route", "read as '/y' it would reach no route"]),
        ("GET /kept/a/../c", ["kept would rewrite the one to '/in/../c', the other to '/in/'"]),
        ("GET /a/%00", ["control character"]),
        ("GET /a/%2500", ["control character"]),
        ("GET /a/%zz", ["broken percent-escape"]),
        ("GET /a/%2525252525252525252541", ["too many times"]),
    ],
)
def test_paths_that_can_be_read_in_two_ways(line: str, words: list[str]) -> None:
    kept = Forward((("up", 1),), Rewrite(parse_template("/in/{**}", frozenset(["**"]))))
    routes = router(
        make_route("admin", "/admin"), make_route("all", "/a/**"), make_route("kept", "/kept/{x}/**", action=kept)
    )
    exchange = make_exchange("GET", line.split()[1])
    try:
        routes.find("a", exchange.raw_path, exchange)
    except GatewayError:
        found = ask(routes, line)
        assert (found.route, found.status) == (None, 400)
        for word in words:
            assert word in found.why, found.why
    else:
        assert line.startswith("GET /x/"), "both readings reach nothing"


def test_why_a_route_is_no_candidate() -> None:
    routes = router(
        make_route("fits", "/a/**"),
        make_route("host", "/a/b", host="*.example.com"),
        make_route("literal", "/a/c"),
        make_route("regex", "/a/{x:[0-9]+}"),
        make_route("long", "/a/b/{x}"),
        make_route("short", "/a"),
    )
    assert {route.name: why for route, why in misfits(routes, "Other.org:80", "/a/b")} == {
        "host": "its host is *.example.com, the request's other.org",
        "literal": "segment 2 is 'b', not 'c'",
        "regex": "segment 2 is 'b', not {x:[0-9]+}",
        "long": "the path ends before segment 3, {x}",
        "short": "the path goes on with 'b'",
    }
    assert dict(misfits(router(make_route("empty", "/a/{x}")), "a", "/a/")) != {}
    assert next(why for _, why in misfits(routes, "example.com", "/a/b")).startswith("its host is *.example.com")
    assert "host" not in {route.name for route, _ in misfits(routes, "api.Example.com", "/a/b")}


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key"])
def test_values_of_secret_headers_are_not_shown(name: str) -> None:
    routes = router(make_route("a", "/a", predicates=(HeaderPredicate(name, "~.*7"),)))
    found = ask(routes, "GET /a", **{name.replace("-", "_"): "geheim"})
    assert "geheim" not in repr(found)
    assert "***" in found.candidates[0].why


PATTERNS = (
    "/**",
    "/a",
    "/a/",
    "/a/**",
    "/{x}",
    "/a/{x}",
    "/a/*",
    "/a/{x:b|c}",
    "/{x:a}/b",
    "/a/b",
    "/*/b",
    "/a/{x}/**",
)
TARGETS = ("/", "/a", "/a/", "/a/b", "/a/c", "/a//b", "/b/b", "/a/b/c", "/a/%62", "/a/..", "/a;x/b", "/A")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(PATTERNS),
            st.sampled_from([None, ("GET",), ("POST",)]),
            st.sampled_from([None, "a", "*.a", "x.a"]),
            st.sampled_from([0, 0, 0, 1]),
        ),
        max_size=8,
    ),
    st.sampled_from(TARGETS),
    st.sampled_from(["a", "x.a", "b"]),
)
def test_it_never_disagrees_with_the_router(rows: list[Any], target: str, host: str) -> None:
    routes = router(
        *(make_route(f"r{n}", path, methods, host=at, priority=up) for n, (path, methods, at, up) in enumerate(rows))
    )
    exchange = make_exchange("GET", target)
    found = explain(routes, host, exchange.raw_path, exchange)
    try:
        expected = routes.find(host, exchange.raw_path, exchange)
    except GatewayError:
        assert found.status == 400
        return
    assert found.route is expected
    assert (found.status is None) == (expected is not None)
    chosen = [candidate.route for candidate in found.candidates if candidate.verdict == "chosen"]
    assert chosen == ([expected] if expected is not None else [])
    # What comes before the winner refused; who is no candidate does not fit.
    for candidate in found.candidates:
        if candidate.route is expected:
            break
        assert candidate.verdict == "refused"
    others = {route.name for route, _ in misfits(routes, host, exchange.raw_path)}
    assert others | set(verdicts(found)) == {route.name for route in routes.routes}
