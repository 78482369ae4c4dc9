"""Preflights are answered here, answers are marked, and caches are told."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.cors import Cors

from gateway.exchange import Reply
from gateway.testing import make_exchange, make_plugin, run
from gateway.wire.head import ResponseHead

APP = "https://app.example.com"
NEVER = Reply(599)


def preflight(origin: str = APP, method: str = "PUT", asked: str | None = None, **options: Any) -> ResponseHead:
    fields = {"Origin": origin, "Access-Control-Request-Method": method}
    if asked is not None:
        fields["Access-Control-Request-Headers"] = asked
    return run(make_plugin(Cors, **options), make_exchange("OPTIONS", "/", fields), NEVER)


def answer(origin: str | None = APP, theirs: dict[str, str] | None = None, **options: Any) -> ResponseHead:
    fields = {} if origin is None else {"Origin": origin}
    return run(make_plugin(Cors, **options), make_exchange("GET", "/", fields), Reply(200, theirs))


def test_a_preflight_is_answered_here() -> None:
    head = preflight(origins=[APP], methods=["GET", "PUT"], credentials=True, max_age="5m", headers=["X-A", "X-B"])

    assert head.status == 204
    assert dict(head.headers.items()) == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Headers": "X-A, X-B",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Max-Age": "300",
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


def test_any_header_is_what_was_asked_for() -> None:
    assert preflight(asked="X-A,x-b").headers.get("access-control-allow-headers") == "X-A,x-b"
    assert preflight().headers.get("access-control-allow-headers") is None


def test_a_preflight_from_elsewhere_is_allowed_nothing() -> None:
    head = preflight("https://evil.example", origins=[APP])

    assert head.status == 204
    assert [name for name, _ in head.headers.items()] == ["Vary"]


def test_other_options_requests_go_on() -> None:
    plugin = make_plugin(Cors)

    assert run(plugin, make_exchange("OPTIONS", "/", {"Origin": APP}), Reply(200)).status == 200
    assert run(plugin, make_exchange("OPTIONS", "/", {"Access-Control-Request-Method": "GET"})).status == 200


def test_the_router_is_told_who_answers() -> None:
    assert Cors.answers_preflight is True


def test_an_answer_is_marked_for_its_origin() -> None:
    head = answer(origins=[APP], credentials=True, expose=["X-A", "X-B"])

    assert dict(head.headers.items()) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "X-A, X-B",
    }


def test_every_origin_is_one_answer_for_all() -> None:
    assert dict(answer().headers.items()) == {"Access-Control-Allow-Origin": "*"}
    assert dict(answer(None).headers.items()) == {"Access-Control-Allow-Origin": "*"}


@pytest.mark.parametrize("origin", ("https://evil.example", None))
def test_an_answer_for_others_says_so_to_caches_alone(origin: str | None) -> None:
    theirs = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}

    assert dict(answer(origin, theirs, origins=[APP]).headers.items()) == {"Vary": "Origin"}


def test_what_the_service_says_is_replaced() -> None:
    theirs = {"Access-Control-Allow-Origin": "https://other.example", "Access-Control-Allow-Credentials": "true"}

    head = answer(theirs=theirs, origins=[APP])

    assert head.headers.get_all("access-control-allow-origin") == [APP]
    assert head.headers.get("access-control-allow-credentials") is None


@pytest.mark.parametrize(
    ("theirs", "merged"),
    (
        ("Accept", ["Accept, Origin"]),
        ("accept, origin", ["accept, origin"]),
        ("*", ["*"]),
        ("X-Origin", ["X-Origin, Origin"]),
    ),
)
def test_vary_is_merged(theirs: str, merged: list[str]) -> None:
    assert answer(theirs={"Vary": theirs}, origins=[APP]).headers.get_all("vary") == merged


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    (
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "HTTPS://A.Example.COM", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://.example.com", False),
        ("https://*.example.com", "http://a.example.com", False),
        ("https://*.example.com", "https://a.example.com:8443", False),
        ("https://*.example.com", "https://evil.com/.example.com", False),
        ("https://*.example.com", "https://evil.com:1.example.com", False),
        ("https://*.example.com", "https://a@.example.com", False),
        ("https://*.example.com", "https://a.example.com.evil.com", False),
        ("https://*.example.com", "https://aexample.com", False),
        ("https://*.example.com:8443", "https://a.example.com:8443", True),
        ("https://APP.example.com", APP, True),
        ("http://localhost:3000", "http://localhost:3000", True),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("null", "null", True),
        (APP, "null", False),
        (APP, f"{APP}:443", False),
    ),
)
def test_which_origins_match(pattern: str, origin: str, allowed: bool) -> None:
    head = answer(origin, origins=[pattern])

    assert head.headers.get("access-control-allow-origin") == (origin if allowed else None)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"credentials": True}, "let any page act as its visitor"),
        ({"origins": ["https://a.example/"]}, "is no origin"),
        ({"origins": ["app.example.com"]}, "is no origin"),
        ({"origins": ["https://a.*.example"]}, "is no origin"),
        ({"origins": ["https://*"]}, "is no origin"),
        ({"methods": ["GET, POST"]}, "no method"),
        ({"headers": ["X A"]}, "no header name"),
    ),
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plugin(Cors, **options)
