"""The compiled route."""

from __future__ import annotations

from types import SimpleNamespace

from gateway.exchange import Reply
from gateway.routing.actions import Respond
from gateway.routing.pattern import parse_pattern
from gateway.routing.predicates import QueryPredicate
from gateway.routing.route import Route

ACTION = Respond(Reply.empty())


def make(**options: object) -> Route:
    return Route("r", parse_pattern("/a/{id}"), ACTION, **options)  # type: ignore[arg-type]


def test_accepts() -> None:
    route = make(methods=frozenset(["GET"]), predicates=(QueryPredicate("v", "1"), QueryPredicate("w", "2")))
    assert route.accepts(SimpleNamespace(method="GET", query="v=1&w=2"))
    assert not route.accepts(SimpleNamespace(method="GET", query="v=1"))
    assert not route.accepts(SimpleNamespace(method="POST", query="v=1&w=2"))
    assert make().accepts(SimpleNamespace(method="POST", query=""))


def test_rank() -> None:
    plain, methods = make(order=1), make(order=2, methods=frozenset(["GET"]))
    both = make(order=3, methods=frozenset(["GET"]), predicates=(QueryPredicate("v", "1"),))
    first = make(order=9, priority=1)
    ranked = sorted([plain, methods, both, first, make(order=0)], key=lambda route: route.rank)
    assert [route.order for route in ranked] == [9, 3, 2, 0, 1]


def test_repr() -> None:
    assert repr(make(host="a")) == "<Route r: a/a/{id} respond 204>"
