"""The nouns of a request."""

from __future__ import annotations

import re

import pytest

from gateway.errors import GatewayError, Kind
from gateway.exchange import Attempt, Reply, join_route_id, split_route_id
from gateway.testing import make_exchange


def test_replies_of_every_shape() -> None:
    text, json = Reply.text(503, "später"), Reply.json(200, {"a": [1]}, {"X-A": "1"})
    away, empty = Reply.redirect("/b", 308), Reply.empty()

    assert (text.status, text.headers, text.body) == (
        503,
        {"Content-Type": "text/plain; charset=utf-8"},
        "später".encode(),
    )
    assert (json.headers, json.body) == ({"Content-Type": "application/json", "X-A": "1"}, b'{"a":[1]}')
    assert (away.status, away.headers, away.body) == (308, {"Location": "/b"}, b"")
    assert (empty.status, empty.headers, empty.body) == (204, {}, b"")
    assert repr(json) == "<Reply 200 9 bytes>"


def test_headers_given_win_over_the_shapes_own() -> None:
    assert Reply.text(200, "<p>", {"Content-Type": "text/html"}).headers == {"Content-Type": "text/html"}


@pytest.mark.parametrize("status", (100, 199, 600, 0))
def test_a_reply_is_a_final_answer(status: int) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        Reply(status)


@pytest.mark.parametrize(
    ("raw", "path"), (("/a", "/a"), ("/a%20b", "/a b"), ("/%2F", "//"), ("/%E2%82%AC", "/€"), ("/%ff", "/\ufffd"))
)
def test_a_path_is_decoded_once(raw: str, path: str) -> None:
    exchange = make_exchange("GET", raw)

    assert (exchange.raw_path, exchange.path, exchange.path) == (raw, path, path)


def test_a_request_id_is_minted_at_first_use_and_stays() -> None:
    exchange = make_exchange()

    assert re.fullmatch(r"[0-9a-f]{32}", exchange.request_id)
    assert exchange.request_id == exchange.request_id
    assert make_exchange().request_id != exchange.request_id
    exchange.request_id = "mine"
    assert exchange.request_id == "mine"


def test_state_is_the_requests_own() -> None:
    exchange = make_exchange()
    exchange.state["a"] = 1

    assert exchange.state == {"a": 1}
    assert make_exchange().state == {}


def test_an_upstream_is_chosen_from_the_configuration() -> None:
    exchange = make_exchange(upstream_names=("catalog", "reviews"))

    exchange.set_upstream("reviews")
    assert exchange.upstream == "reviews"
    with pytest.raises(LookupError, match="no upstream 'nowhere'"):
        exchange.set_upstream("nowhere")


@pytest.mark.parametrize(
    ("path", "raw", "target"),
    (("/a", "/b", "/b"), ("/a?x=1", "/b", "/b?x=1"), ("/a?x=1", "/b?y=2", "/b?y=2"), ("/a?x=1", "/b?", "/b?")),
)
def test_another_path_keeps_the_query_unless_it_has_one(path: str, raw: str, target: str) -> None:
    exchange = make_exchange("GET", path)

    exchange.set_path(raw)

    assert exchange.target == target


@pytest.mark.parametrize("raw", ("", "b", "/a b", "/a\r\nX: 1", "/é", "/a#b", "http://x/"))
def test_a_path_that_would_break_the_request_line_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="not a raw path"):
        make_exchange().set_path(raw)


def test_reprs_tell_what_happened() -> None:
    attempt = Attempt(1, "127.0.0.1:9001", 0.0)

    assert repr(attempt) == "<Attempt 1 at 127.0.0.1:9001: running>"
    attempt.status = 200
    assert repr(attempt) == "<Attempt 1 at 127.0.0.1:9001: 200>"
    assert repr(make_exchange("GET", "/a", route="item")) == "<Exchange GET /a route=item status=->"


def test_cookies_of_a_reply_stand_apart() -> None:
    reply = Reply(302, {"Location": "/"}, cookies=iter(["a=1", "b=2"]))

    assert (reply.cookies, reply.headers) == (("a=1", "b=2"), {"Location": "/"})
    assert Reply.text(200, "x").cookies == ()


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Content-Length": "10"}, False),
        ({"Content-Length": "11"}, True),
        ({"Content-Length": "0"}, False),
        ({"Transfer-Encoding": "chunked"}, False),
        ({}, False),
    ],
)
def test_a_declared_body_may_be_too_long(headers: dict[str, str], refused: bool) -> None:
    exchange = make_exchange("POST", "/", headers)

    if not refused:
        exchange.limit_body(10)
        return
    with pytest.raises(GatewayError, match="limited to 10 bytes") as caught:
        exchange.limit_body(10)
    assert caught.value.kind is Kind.BODY_TOO_LARGE


@pytest.mark.parametrize(
    ("frontend", "route", "route_id"),
    [
        ("", "page", "page"),
        ("mobile", "page", "mobile/page"),
        ("mobile", "-", "mobile/-"),
        ("", "session:/login", "session:/login"),
        ("mobile", "session:/a/b", "mobile/session:/a/b"),
    ],
)
def test_ids_of_routes(frontend: str, route: str, route_id: str) -> None:
    assert join_route_id(frontend, route) == route_id
    assert split_route_id(route_id) == (frontend, route)
    exchange = make_exchange(route=route, frontend=frontend)
    assert exchange.route_id == route_id


def test_the_path_as_it_was_sent() -> None:
    assert make_exchange("GET", "/a?b").sent_path == "/a"
    assert make_exchange("GET", "/m/a?b", frontend="mobile", raw_path="/a").sent_path == "/m/a"
    assert make_exchange("GET", "/login", route="session:/login").sent_path == "/login"


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\0", "é", "a\tb"])
def test_a_request_id_that_no_header_can_hold_is_refused(value: str) -> None:
    exchange = make_exchange()
    with pytest.raises(ValueError, match="printable ASCII"):
        exchange.request_id = value

    assert re.fullmatch("[0-9a-f]{32}", exchange.request_id)


@pytest.mark.parametrize("trusted", [True, False])
def test_new_ids_leave_a_trusted_peers_request_id(trusted: bool) -> None:
    exchange = make_exchange(headers={"X-Request-Id": "theirs"}, peer_trusted=trusted)
    exchange.mint_ids()

    assert re.fullmatch("[0-9a-f]{32}", exchange.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", exchange.span_id)
    assert (exchange.request_id == "theirs") is trusted
