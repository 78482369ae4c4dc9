"""The trie: who wins, and what 404, 405 and 400 are for."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Kind
from gateway.exchange import Reply
from gateway.routing.actions import Action, Forward, Respond, Rewrite
from gateway.routing.paths import is_plain
from gateway.routing.pattern import parse_pattern, parse_template
from gateway.routing.predicates import QueryPredicate, with_head
from gateway.routing.route import Route
from gateway.routing.router import Router

ACTION = Respond(Reply.empty())


def make(name: str, path: str, order: int = 0, methods: tuple[str, ...] | None = None, **options: Any) -> Route:
    action: Action = options.pop("action", ACTION)
    return Route(name, parse_pattern(path), action, order=order, methods=with_head(methods), **options)


def asked(method: str = "GET", query: str = "") -> Any:
    return SimpleNamespace(method=method, query=query)


def find(routes: list[Route], path: str, host: str = "a", method: str = "GET", query: str = "") -> str | None:
    found = Router(routes).find(host, path, asked(method, query))
    return None if found is None else found.name


PATHS = ["/a/b", "/a/{x:[a-z]+}", "/a/{x}", "/a/*", "/a/**", "/**", "/a", "/a/", "/", "/a/b/c", "/{x}/b", "/a/{x}/c"]
ROUTES = [make(path, path, order) for order, path in enumerate(reversed(PATHS))]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b", "/a/b"),
        ("/a/c", "/a/{x:[a-z]+}"),
        ("/a/1", "/a/{x}"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/", "/"),
        ("/x", "/**"),
        ("/a/b/c", "/a/b/c"),
        ("/a/z/c", "/a/{x}/c"),
        ("/a/b/d", "/a/**"),
        ("/z/b", "/{x}/b"),
        ("/A/b", "/{x}/b"),
        ("/a/%62", "/a/b"),
        ("/a/b/", "/a/**"),
    ],
)
def test_the_more_specific_wins(path: str, name: str) -> None:
    assert find(ROUTES, path) == name


@pytest.mark.parametrize(("path", "name"), [("/o", "r"), ("/o/", "r"), ("/o/a/b", "r"), ("/ox", None), ("/", None)])
def test_rest_is_also_nothing(path: str, name: str | None) -> None:
    assert find([make("r", "/o/**")], path) == name
    assert find([make("r", "/o/{*tail}")], path) == name


@pytest.mark.parametrize("path", ["/x/", "/x//"])
def test_empty_segments_are_not_captured(path: str) -> None:
    assert find([make("r", "/x/{id}"), make("s", "/x/*", 1), make("t", "/x/{id}/b", 2)], path) is None


HOSTS = [
    make("none", "/**", 0),
    make("wild", "/**", 1, host="*.example.com"),
    make("exact", "/**", 2, host="api.example.com"),
    make("deep", "/**", 3, host="*.b.example.com"),
    make("six", "/**", 4, host="[::1]"),
]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.example.com", "exact"),
        ("API.Example.COM:8443", "exact"),
        ("api.example.com.", "exact"),
        ("x.example.com", "wild"),
        ("x.y.example.com", "wild"),
        ("x.b.example.com", "deep"),
        ("example.com", "none"),
        ("notexample.com", "none"),
        ("", "none"),
        ("[::1]:80", "six"),
        ("10.0.0.1:80", "none"),
    ],
)
def test_hosts(host: str, name: str) -> None:
    assert find(HOSTS, "/x", host) == name
    assert Router(HOSTS).candidates(host, "/x")[0].name == name


def test_failed_predicate_falls_through_hosts_and_paths() -> None:
    routes = [
        make("special", "/a/b", 0, host="h", predicates=(QueryPredicate("v", "1"),)),
        make("posts", "/a/b", 1, ("POST",), host="h"),
        make("name", "/a/{x}", 2, ("PUT",), host="h"),
        make("any host", "/a/b", 3, ("GET",)),
    ]
    assert find(routes, "/a/b", "h", query="v=1") == "special"
    assert find(routes, "/a/b", "h", "POST") == "posts"
    assert find(routes, "/a/b", "h", "PUT") == "name"
    assert find(routes, "/a/b", "h") == "any host"
    assert find(routes, "/a/b", "h", "HEAD") == "any host"
    assert find(routes, "/a/b", "h", "DELETE") is None


def test_more_predicates_then_file_order() -> None:
    routes = [
        make("plain", "/a", 0),
        make("second", "/a", 2, ("GET",)),
        make("first", "/a", 1, ("GET",)),
        make("two", "/a", 3, ("GET",), predicates=(QueryPredicate("v", "1"),)),
    ]
    assert find(routes, "/a", query="v=1") == "two"
    assert find(routes, "/a") == "first"
    assert find(routes, "/a", method="POST") == "plain"


def test_priority_overrides() -> None:
    routes = [make("exact", "/a/b", 0), make("rest", "/**", 1, priority=1), make("low", "/a/b", 2, priority=-1)]
    assert find(routes, "/a/b") == "rest"
    assert [route.name for route in Router(routes).candidates("a", "/a/b")] == ["rest", "exact", "low"]


def test_405_only_when_the_method_alone_failed() -> None:
    router = Router(
        [
            make("get", "/a", 0, ("GET",)),
            make("put", "/a", 1, ("PUT",)),
            make("query", "/b", 2, ("GET",), predicates=(QueryPredicate("v", "1"),)),
        ]
    )
    assert router.allowed("h", "/a", asked("POST")) == {"GET", "HEAD", "PUT"}
    assert router.allowed("h", "/b", asked("POST")) == frozenset()
    assert router.allowed("h", "/b", asked("POST", "v=1")) == {"GET", "HEAD"}
    assert router.allowed("h", "/c", asked("POST")) == frozenset()


GUARDED = [make("admin", "/admin/**", 0), make("all", "/**", 1), make("item", "/items/{id}", 2)]


@pytest.mark.parametrize(
    "path",
    [
        "/x/../admin/y",
        "/x/%2e%2e/admin",
        "/x/%252e%252e/admin",
        "/x/..%2fadmin",
        "/x\\..\\admin",
        "//admin",
        "/%2fadmin",
        "/./admin/x",
        "/x/..;/admin",
        "/;/admin",
        "/admin/../x",
        "/%2561dmin",
        "/%5cadmin",
        "/a%2f..%2fadmin",
        "/admin%2fx",
        "/items/..%2fx",
        "/items/a%2fb",
        "/items/1;x/../../admin",
    ],
)
def test_two_readings_that_differ_are_400(path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Router(GUARDED).find("h", path, asked())
    assert caught.value.answer.status == 400


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/admin/./x", "admin"),
        ("/admin//x", "admin"),
        ("/admin/x;y=1", "admin"),
        ("/admin/%78", "admin"),
        ("/%61dmin/x", "admin"),
        ("/x/%2e", "all"),
        ("/.well-known/x", "all"),
        ("/items/%31", "item"),
        ("/x//y", "all"),
        ("/a%20b", "all"),
        ("/%C3%A9", "all"),
        ("/%FF", "all"),
    ],
)
def test_two_readings_that_agree(path: str, name: str) -> None:
    assert find(GUARDED, path) == name


@pytest.mark.parametrize("path", ["/%00", "/a%0d%0a", "/%7f", "/%", "/%zz", "/%2500"])
def test_encoded_control_bytes_are_400(path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Router(GUARDED).find("h", path, asked())
    assert caught.value.answer.status == 400


def rewriting(pattern: str, to: str) -> Router:
    parsed = parse_pattern(pattern)
    action = Forward((("u", 1),), Rewrite(parse_template(to, parsed.names)))
    return Router([make("r", pattern, action=action)])


@pytest.mark.parametrize(
    "path", ["/api/../x", "/api/a/../../../x", "/api/%2e%2e/x", "/api/..", "/api/a/..%2f..%2f..%2fx"]
)
def test_reading_that_leaves_the_part_that_is_kept_is_400(path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        rewriting("/api/**", "/inner/{**}").find("h", path, asked())
    assert caught.value.kind in (Kind.AMBIGUOUS_PATH, Kind.BAD_REQUEST)


@pytest.mark.parametrize(
    "path", ["/api/a/../b", "/api/a//b", "/api/a%20b", "/api/%3F", "/api/%25", "/api/a;b", "/api/"]
)
def test_reading_that_stays_in_the_part_that_is_kept(path: str) -> None:
    assert rewriting("/api/**", "/inner/{**}").find("h", path, asked()) is not None


# properties

WORDS = st.sampled_from(["a", "b", "c", "ab", "x1"])
SEGMENTS = st.one_of(WORDS, st.just("*"), st.just("{n}"), st.sampled_from(["{r:[a-z]}", "{r:[a-z]+}", "{r:x[0-9]}"]))


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts: list[str] = []
    for segment in draw(st.lists(SEGMENTS, max_size=4)):
        unique = segment.replace("{n", f"{{n{len(parts)}").replace("{r", f"{{r{len(parts)}")
        parts.append(unique)
    if draw(st.booleans()):
        parts.append("**")
    return "/" + "/".join(parts)


@st.composite
def expansions(draw: st.DrawFn) -> tuple[str, str]:
    """A pattern, and a path that it matches."""
    pattern = draw(patterns())
    path: list[str] = []
    for part in pattern[1:].split("/"):
        if part == "**":
            path += draw(st.lists(WORDS, max_size=3))
        elif part.startswith("{r"):
            path.append("x1" if "[0-9]" in part else draw(st.sampled_from(["a", "b"])))
        elif part == "*" or part.startswith("{n"):
            path.append(draw(WORDS))
        else:
            path.append(part)
    return pattern, "/" + "/".join(path)


@given(expansions())
def test_what_a_pattern_expands_to_is_found_again(case: tuple[str, str]) -> None:
    pattern, path = case
    assert find([make("r", pattern)], path) == "r"
    assert find([make("r", pattern, host="h")], path, "h") == "r"
    assert find([make("r", pattern, priority=1)], path) == "r"


@given(expansions(), st.lists(patterns(), max_size=6))
def test_unrelated_routes_never_change_the_result(case: tuple[str, str], others: list[str]) -> None:
    pattern, path = case
    strangers = [make(f"s{at}", "/unrelated" + other, at + 1) for at, other in enumerate(others)]
    strangers += [make(f"h{at}", other, at + 50, host="other") for at, other in enumerate(others)]
    assert find([make("r", pattern), *strangers], path) == "r"
    assert find([*strangers, make("r", pattern)], path) == "r"


@given(expansions(), st.lists(patterns(), max_size=6))
def test_find_takes_the_first_candidate(case: tuple[str, str], others: list[str]) -> None:
    pattern, path = case
    router = Router([make(f"r{at}", text, at) for at, text in enumerate([pattern, *others])])
    assert router.find("h", path, asked()) is router.candidates("h", path)[0]


def test_more_predicates_win_between_equally_specific_expressions() -> None:
    routes = [make("file first", "/{a:[a-z]+}", 0), make("more predicates", "/{b:[a-y]+}", 1, ("GET",))]
    assert find(routes, "/x") == "more predicates"


@given(st.lists(patterns(), max_size=5), st.text("ab1/-_~.x", max_size=12).filter(lambda text: is_plain("/" + text)))
def test_plain_path_never_raises(texts: list[str], path: str) -> None:
    router = Router([make(f"r{at}", text, at) for at, text in enumerate(texts)])
    router.find("h", "/" + path, asked())
    router.allowed("h", "/" + path, asked())


@given(st.text("ab/.;%25fFcC0A\\", max_size=14))
def test_no_path_makes_anything_but_a_refusal(path: str) -> None:
    with contextlib.suppress(GatewayError):
        rewriting("/a/**", "/inner/{**}").find("h", "/a/" + path, asked())
    with contextlib.suppress(GatewayError):
        Router(GUARDED).find("h", "/" + path, asked())


def test_every_node_of_the_tries() -> None:
    routes = [make("a", "/a/{id}/*"), make("b", "/a/{x:[0-9]+}", host="h"), make("c", "/a/**")]
    found = list(Router(routes).nodes())
    # Of every host: the root and `a`; below, `{id}` and `*`; and the expression.
    assert len(found) == len(set(map(id, found))) == 4 + 3
    assert {route.name for node in found for route in (*node.ends, *node.rests)} == {"a", "b", "c"}
