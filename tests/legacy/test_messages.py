"""What is true of one format's bytes is not told of another's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import GatewayError, Kind
from gateway.legacy.media import is_json
from gateway.legacy.messages import (
    answer_body,
    ask_for,
    bad_request,
    replace_body,
    replace_by_problem,
    replace_request,
    request_body,
)
from gateway.legacy.numbers import number
from gateway.shaping.exact import parse
from gateway.testing import make_exchange, make_head

OF_THE_BYTES = {
    "Accept-Ranges": "bytes",
    "Content-Digest": "sha-256=:x:",
    "Content-MD5": "x",
    "Content-Range": "bytes 0-1/2",
    "Digest": "x",
    "Repr-Digest": "x",
}


def test_the_upstream_is_asked_for_all_of_it_as_it_is() -> None:
    fields = {"Accept": "a/b", "Accept-Encoding": "gzip", "Range": "bytes=0-1", "If-Range": '"x"', "X-A": "1"}
    exchange = make_exchange(headers=fields)
    ask_for(exchange.headers, "text/xml")
    found = dict(exchange.headers.items())
    assert found == {"Host": "gateway.test", "X-A": "1", "Accept": "text/xml", "Accept-Encoding": "identity"}


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "Identity"}])
def test_a_body_to_be_read(headers: dict[str, str]) -> None:
    exchange = make_exchange("POST", headers={"Content-Type": "application/json", **headers}, body=b"{}")
    assert request_body(exchange, is_json, "application/json") == b"{}"


@pytest.mark.parametrize("body", [b"", None])
def test_no_body_is_of_no_type(body: bytes | None) -> None:
    assert request_body(make_exchange("POST", headers={"Content-Type": "a/b"}, body=body), is_json, "x") is None


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"Content-Type": "text/plain"}, {"Accept": "application/json"}),
        ({}, {"Accept": "application/json"}),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, {"Accept-Encoding": "identity"}),
    ],
)
def test_a_body_of_another_type(fields: dict[str, str], hint: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        request_body(make_exchange("POST", headers=fields, body=b"{}"), is_json, "application/json")
    assert (caught.value.kind, caught.value.headers) == (Kind.UNSUPPORTED_MEDIA_TYPE, hint)
    assert caught.value.answer.status == 415


def test_another_body_of_the_request() -> None:
    exchange = make_exchange("POST", headers={"Content-Type": "a/b", **OF_THE_BYTES}, body=b"x")
    replace_request(exchange, b"<a/>", "text/xml")
    assert exchange.body == b"<a/>"
    assert dict(exchange.headers.items()) == {"Host": "gateway.test", "Content-Type": "text/xml"}


def test_what_the_client_is_told_of_its_body() -> None:
    error = bad_request(ValueError("not JSON"))
    assert (error.kind, error.detail) == (Kind.BAD_REQUEST, "the body cannot be read: not JSON")


@pytest.mark.parametrize(("method", "body"), [("GET", b"{}"), ("HEAD", None)])
def test_another_body_of_the_answer(method: str, body: bytes | None) -> None:
    head = make_head(200, {"Content-Type": "text/xml", "ETag": '"1"', "X-A": "1", **OF_THE_BYTES}, b"<a/>")
    replace_body(make_exchange(method), head, b"{}", "application/json")
    assert head.body == body
    assert dict(head.headers.items()) == {"X-A": "1", "Content-Type": "application/json", "ETag": 'W/"1"'}


def test_a_compressed_answer_is_not_read() -> None:
    assert answer_body(make_head(200, {}, b"x")) == b"x"
    with pytest.raises(ValueError, match="it has a content coding"):
        answer_body(make_head(200, {"Content-Encoding": "gzip"}, b"x"))


CACHED = {"Cache-Control": "max-age=9", "ETag": '"1"', "Expires": "x", "Last-Modified": "x", "Content-Encoding": "gzip"}


@pytest.mark.parametrize(("status", "tells"), [(502, True), (422, False)])
def test_a_problem_in_place_of_the_answer(status: int, tells: bool) -> None:
    head = make_head(200, {"Content-Type": "text/xml", "X-A": "1", **CACHED, **OF_THE_BYTES}, b"<a/>")
    exchange = make_exchange(path="/price", headers={"Accept": "text/html"})
    more: dict[str, Any] = {"code": "Client", "fault": {"left": number("0.50")}}
    replace_by_problem(exchange, head, GatewayError(Kind.SERVICE_FAULT, "no", status=status), "edge", more)

    names = {"X-A", "Cache-Control", "Content-Type"} | ({"Proxy-Status"} if tells else set())
    assert {name for name, _ in head.headers.items()} == names
    assert head.headers.get("cache-control") == "no-store"
    assert head.headers.get("content-type") == "application/problem+json"
    assert head.status == status
    problem = parse(head.body or b"")
    assert (problem["type"], problem["detail"], problem["code"]) == (
        "urn:aiogate:problem:service_fault",
        "no",
        "Client",
    )
    assert (head.body or b"").endswith(b'"fault":{"left":0.50}}')
