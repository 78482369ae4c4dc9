"""A route is called hidden only when no request can ever reach it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Reply
from gateway.routing.actions import Respond
from gateway.routing.pattern import parse_pattern
from gateway.routing.predicates import HeaderPredicate, QueryPredicate, with_head
from gateway.routing.route import Route
from gateway.routing.router import Router
from gateway.routing.shadows import shadowed
from gateway.testing import make_exchange

ANSWER = Respond(Reply.empty())
BETA = HeaderPredicate("X-Beta", "1")


def make_routes(*rows: dict[str, Any]) -> list[Route]:
    routes = []
    for order, row in enumerate(rows):
        options = {
            "methods": with_head(row.get("methods")),
            **{key: row[key] for key in row if key not in ("path", "methods")},
        }
        routes.append(Route(f"r{order}", parse_pattern(row["path"]), ANSWER, order=order, **options))
    return routes


def hidden(*rows: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.name, by.name) for one, by in shadowed(make_routes(*rows))]


@pytest.mark.parametrize(
    "rows",
    [
        ({"path": "/a"}, {"path": "/a"}),
        ({"path": "/a/{x}"}, {"path": "/a/{y}"}),
        ({"path": "/a/**"}, {"path": "/a/{*rest}"}),
        ({"path": "/a/{x}"}, {"path": "/a/*"}),
        ({"path": "/a", "methods": ("GET",)}, {"path": "/a", "methods": ("HEAD",)}),
        ({"path": "/a", "methods": ("GET", "POST")}, {"path": "/a", "methods": ("POST",)}),
        ({"path": "/a", "predicates": (BETA,)}, {"path": "/a", "predicates": (HeaderPredicate("X-Beta", "1"),)}),
        ({"path": "/a", "host": "x.a"}, {"path": "/a", "host": "x.a"}),
        ({"path": "/**", "priority": 1}, {"path": "/a"}),
        ({"path": "/a/**", "priority": 1}, {"path": "/a"}),
        ({"path": "/{x:a+}/**", "priority": 1}, {"path": "/aa/{y}"}),
        ({"path": "/{x}/b", "priority": 1}, {"path": "/{x:a|b}/b", "predicates": (BETA,)}),
        ({"path": "/**", "priority": 1}, {"path": "/a", "host": "x.a"}),
        ({"path": "/**", "priority": 1, "host": "*.a"}, {"path": "/a", "host": "x.a"}),
        ({"path": "/**", "priority": 1, "host": "*.a"}, {"path": "/a", "host": "*.x.a"}),
    ],
)
def test_the_second_is_hidden_by_the_first(rows: tuple[dict[str, Any], ...]) -> None:
    assert hidden(*rows) == [("r1", "r0")]


@pytest.mark.parametrize(
    "rows",
    [
        ({"path": "/a"}, {"path": "/b"}),
        ({"path": "/**"}, {"path": "/a"}),
        ({"path": "/a/*"}, {"path": "/a/{x:b}"}),
        ({"path": "/a", "methods": ("GET",)}, {"path": "/a"}),
        ({"path": "/a", "methods": ("GET",)}, {"path": "/a", "methods": ("GET", "POST")}),
        ({"path": "/a", "predicates": (BETA,)}, {"path": "/a"}),
        ({"path": "/a", "predicates": (BETA,)}, {"path": "/a", "predicates": (QueryPredicate("X-Beta", "1"),)}),
        ({"path": "/a"}, {"path": "/a", "priority": 1, "methods": ("POST",)}),
        ({"path": "/a"}, {"path": "/a", "host": "x.a"}),
        ({"path": "/a/{x}/**", "priority": 1}, {"path": "/a/**"}),
        ({"path": "/a/{x}", "priority": 1}, {"path": "/a/"}),
        ({"path": "/{x:a+}", "priority": 1}, {"path": "/{x:a}"}),
        ({"path": "/{x:a+}", "priority": 1}, {"path": "/b"}),
        ({"path": "/**", "priority": 1, "host": "*.a"}, {"path": "/a", "host": "a"}),
        ({"path": "/**", "priority": 1, "host": "x.a"}, {"path": "/a"}),
    ],
)
def test_neither_is_hidden(rows: tuple[dict[str, Any], ...]) -> None:
    assert hidden(*rows) == []


def test_each_once_and_in_file_order() -> None:
    assert hidden({"path": "/a"}, {"path": "/a"}, {"path": "/b"}, {"path": "/a"}, {"path": "/b"}) == [
        ("r1", "r0"),
        ("r3", "r0"),
        ("r4", "r2"),
    ]


def test_the_last_can_hide_the_first() -> None:
    assert hidden({"path": "/a"}, {"path": "/a", "priority": 1}) == [("r0", "r1")]


ROWS = st.fixed_dictionaries(
    {
        "path": st.sampled_from(
            ["/**", "/a", "/a/", "/a/**", "/{x}", "/*", "/a/{x}", "/a/*", "/{x:a|b}", "/{x:a|b}/**", "/*/a"]
        ),
        "methods": st.sampled_from([None, ("GET",), ("POST",)]),
        "host": st.sampled_from([None, None, "a", "*.a", "x.a"]),
        "priority": st.sampled_from([0, 0, 1]),
        "predicates": st.sampled_from([(), (BETA,)]),
    }
)


@given(st.lists(ROWS, max_size=6))
def test_what_is_called_hidden_is_never_found(rows: list[dict[str, Any]]) -> None:
    routes = make_routes(*rows)
    router = Router(routes)
    gone = {one.name for one, _ in shadowed(routes)}
    for path in ("/", "/a", "/b", "/c", "/a/", "/a/a", "/a/b", "/b/a", "/a/b/c"):
        for host in ("a", "x.a", "y.a", "b"):
            for method, headers in (("GET", {}), ("POST", {"X-Beta": "1"}), ("HEAD", {"X-Beta": "1"})):
                found = router.find(host, path, make_exchange(method, path, headers))
                assert found is None or found.name not in gone
