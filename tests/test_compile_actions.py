"""What becomes of a route's spec."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.compile_actions import make_mirror, make_respond, make_rewrite, make_websockets, wrong_captures
from gateway.config.specs import RespondSpec, RewriteSpec, RouteSpec
from gateway.config.upstream_specs import UpstreamSpec
from gateway.errors import GatewayError, Kind
from gateway.routing.pattern import parse_pattern, parse_template
from gateway.state.board import Board
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_exchange


def route(**options: Any) -> RouteSpec:
    return RouteSpec.model_validate({"name": "r", "to": "up", **options})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({"text": "hi"}, (200, b"hi")), ({"json": None, "status": 201}, (201, b"null")), ({"status": 204}, (204, b""))],
)
def test_respond(spec: dict[str, Any], expected: tuple[int, bytes]) -> None:
    reply = make_respond(RespondSpec.model_validate(spec)).reply(make_exchange())

    assert (reply.status, reply.body) == expected


def test_rewrite() -> None:
    spec = RewriteSpec.model_validate({"query": {"remove": ["v"], "set": {"w": "1"}}, "headers": {"set": {"X": "2"}}})

    rewrite = make_rewrite(spec, parse_template("/b/{id}", {"id"}))

    assert rewrite.target("/a/7", "v=2", {"id": "7"}) == "/b/7?w=1"
    assert rewrite.headers is not None
    assert make_rewrite(RewriteSpec(), None).headers is None


def test_mirror() -> None:
    mirror = make_mirror(route(mirror={"to": "copy", "share": "50%", "body": "1KiB"}))

    assert mirror is not None
    assert (mirror.upstream, mirror.share, mirror.body) == ("copy", 0.5, 1024)
    assert make_mirror(route()) is None


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({}, False),
        ({"upgrade": ["websocket"]}, True),
        ({"to": None, "app": "web:app"}, True),
        ({"to": None, "app": "web:app", "upgrade": []}, False),
    ],
)
def test_an_application_may_have_websockets_unless_it_says_otherwise(options: dict[str, Any], allowed: bool) -> None:
    assert (make_websockets("r", route(**options), Metrics(), None) is not None) == allowed


def test_all_workers_count_their_websockets_together() -> None:
    board = Board.create(2)
    spec = route(upgrade=["websocket"], websocket={"connections": 2})
    first, second = (make_websockets("r", spec, Metrics(), board.take_seat(number)) for number in range(2))
    assert first is not None
    assert second is not None

    first.open.inc()
    second.check()
    second.open.inc()
    for websockets in (first, second):
        with pytest.raises(GatewayError) as refused:
            websockets.check()
        assert refused.value.kind is Kind.TOO_MANY_CONNECTIONS
    first.open.inc(-1)

    second.check()


def test_captures_to_choose_by() -> None:
    upstreams = [
        UpstreamSpec.model_validate({"endpoints": ["http://127.0.0.1:9"], "balance": {"hash": {"capture": capture}}})
        for capture in ("idd", "idd", "id")
    ]
    spec = route(sticky={"capture": "other"})

    assert list(wrong_captures(spec, upstreams, parse_pattern("/a/{id}"))) == [
        ("sticky", "the path /a/{id} has no {other} to choose by", "it captures id"),
        ("to", "the path /a/{id} has no {idd} to choose by", "did you mean 'id'?"),
    ]
    ((_, _, hint),) = wrong_captures(spec, (), parse_pattern("/a"))
    assert hint == "it captures nothing"
