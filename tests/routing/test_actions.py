"""What a route does."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Reply
from gateway.routing.actions import Forward, HeaderEdit, Mirror, QueryEdit, Redirect, Respond, Rewrite
from gateway.routing.pattern import parse_pattern, parse_template
from gateway.routing.request_key import request_key
from gateway.testing import make_exchange
from gateway.wire.head import ResponseBlock, ResponseHead
from gateway.wire.shapes import HeaderPolicy


def test_header_edit() -> None:
    policy = HeaderPolicy(())
    head = ResponseHead(ResponseBlock(policy.shape((b"A", b"B", b"C")), [b"1", b"2", b"3"], 200))
    HeaderEdit({"C": "4", "D": "5"}, {"B": "6"}, ("a",)).apply(head)
    assert list(head.items()) == [("C", "3"), ("B", "6"), ("C", "4"), ("D", "5")]


@pytest.mark.parametrize(
    ("query", "edited"),
    [
        ("", "r=1&n=%26+x"),
        ("a=1&b=%20&c", "a=1&b=%20&c&r=1&n=%26+x"),
        ("gone=1&a=2&%67one=3&r=9&&x", "a=2&x&r=1&n=%26+x"),
    ],
)
def test_query_edit(query: str, edited: str) -> None:
    assert QueryEdit({"n": "& x"}, {"r": "1"}, ("gone",)).apply(query) == edited


@pytest.mark.parametrize(
    ("template", "query", "target"),
    [
        (None, "", "/raw%20"),
        (None, "a=1", "/raw%20?a=1"),
        ("/x/{id}", "a=1", "/x/7?a=1"),
        ("/x/{id}?b=2", "a=1", "/x/7?b=2"),
        ("/x?", "a=1", "/x"),
    ],
)
def test_rewrite(template: str | None, query: str, target: str) -> None:
    parsed = None if template is None else parse_template(template, frozenset(["id"]))
    assert Rewrite(parsed).target("/raw%20", query, {"id": "7"}) == target


def test_rewritten_query() -> None:
    assert Rewrite(query=QueryEdit(removed=("a",))).target("/x", "a=1", {}) == "/x"


def test_pick_by_weight() -> None:
    forward = Forward((("a", 3), ("b", 0), ("c", 1)))
    assert [forward.at(drawn) for drawn in (0.0, 0.74, 0.75, 0.999999)] == ["a", "a", "c", "c"]
    assert (forward.upstream, forward.names) == (None, ("a", "c"))
    assert {forward.pick(make_exchange()) for _ in range(200)} == {"a", "c"}
    only = Forward((("a", 5), ("b", 0)))
    assert (only.upstream, only.pick(make_exchange()), str(only)) == ("a", "a", "to a")
    assert str(forward) == "to a (3), c (1)"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5).filter(any), st.floats(0, 1, exclude_max=True))
def test_whatever_is_drawn_is_one_with_a_weight(weights: list[int], drawn: float) -> None:
    forward = Forward(tuple(zip("abcde", weights, strict=False)))
    assert weights["abcde".index(forward.at(drawn))] > 0


def test_requests_that_agree_go_to_the_same_upstream() -> None:
    forward = Forward((("a", 9), ("b", 1)), sticky=request_key("header", "x-user"))
    users = [make_exchange(headers={"X-User": f"user {number}"}) for number in range(1000)]
    picked = [forward.pick(user) for user in users]
    assert [forward.pick(user) for user in users] == picked
    assert Counter(picked)["b"] == pytest.approx(100, abs=30)
    again = Forward((("a", 9), ("b", 1)), sticky=request_key("header", "x-user"))
    assert [again.pick(user) for user in users] == picked, "also after a restart"


def test_a_larger_part_keeps_those_that_it_had() -> None:
    """A canary that grows takes users along, and sends none of its own back."""
    users = [make_exchange(headers={"X-User": f"user {number}"}) for number in range(300)]
    before, after = (
        Forward((("stable", 100 - part), ("canary", part)), sticky=request_key("header", "x-user")) for part in (10, 40)
    )
    for user in users:
        assert before.pick(user) == "stable" or after.pick(user) == "canary"


def test_a_request_without_the_key_goes_by_chance() -> None:
    forward = Forward((("a", 1), ("b", 1)), sticky=request_key("header", "x-user"))
    exchange = make_exchange()
    assert {forward.pick(exchange) for _ in range(100)} == {"a", "b"}


def test_what_else_a_route_says() -> None:
    plain = Forward((("a", 1),))
    assert (plain.mirror, plain.importance, plain.total) == (None, "normal", None)
    full = Forward((("a", 1),), mirror=Mirror("copy", 0.1, 5), importance="low", total=2.5)
    assert (full.mirror, full.importance, full.total) == (Mirror("copy", 0.1, 5), "low", 2.5)
    assert Mirror("copy") == Mirror("copy", 1.0, 64 * 1024)


def redirected(to: str, pattern: str, path: str, query: str = "") -> str:
    parsed = parse_pattern(pattern)
    redirect = Redirect(parse_template(to, parsed.names), 308)
    exchange = SimpleNamespace(captures=parsed.capture(path), query=query, raw_path=path)
    return redirect.location(exchange)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("to", "path", "query", "location"),
    [
        ("/api/{**}", "/v1/a/b", "", "/api/a/b"),
        ("/api/{**}", "/v1/a", "x=1", "/api/a?x=1"),
        ("/api/{**}?y=2", "/v1/a", "x=1", "/api/a?y=2"),
        ("/{**}", "/v1//evil.example", "", "/evil.example"),
        ("/{**}", "/v1///evil.example", "", "/evil.example"),
        ("{**}", "/v1//evil.example", "", "/evil.example"),
        ("https://b.example/{**}", "/v1/a", "", "https://b.example/a"),
        ("//b.example/{**}", "/v1/a", "", "//b.example/a"),
    ],
)
def test_redirect(to: str, path: str, query: str, location: str) -> None:
    assert redirected(to, "/v1/**", path, query) == location


@pytest.mark.parametrize(
    "path", ["/v1/\\evil.example", "/v1/\\\\evil.example", "/v1//\\evil.example", "/v1/\\/evil.example"]
)
def test_redirect_stays_here_however_browsers_read_backslashes(path: str) -> None:
    """Browsers take `\\` for `/` in a location, so `/\\evil.example` would lead to another host."""
    assert not redirected("/{**}", "/v1/**", path).replace("\\", "/").startswith("//")


def test_respond() -> None:
    reply = Reply.text(200, "pong")
    assert Respond(reply).reply(SimpleNamespace()) is reply  # type: ignore[arg-type]
    assert str(Respond(reply)) == "respond 200"
