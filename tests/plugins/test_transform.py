"""JSON answers of upstreams get their shape, and what cannot be given it does not get out."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.transform import Transform

from gateway.exchange import Exchange, Reply
from gateway.plugin import Failure, Plugin
from gateway.testing import make_env, make_exchange, make_plugin, run
from gateway.wire.head import ResponseHead

JSON = {"Content-Type": "application/json"}
BODY = b'{"id": 7, "price": 9.990, "secret": 1E5, "seller": {"id": 1, "name": "s"}}'
COMPACT = BODY.replace(b": ", b":").replace(b", ", b",")
REMOVED = b'{"id":7,"price":9.990,"seller":{"id":1,"name":"s"}}'


def answer(
    body: bytes = BODY,
    headers: dict[str, str] | None = None,
    status: int = 200,
    asked: Exchange | None = None,
    **options: Any,
) -> ResponseHead:
    plugin = make_plugin(Transform, **(options or {"remove": ["secret"]}))
    return run(plugin, asked or make_exchange(), Reply(status, JSON if headers is None else headers, body))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pick": "{id: id, seller: seller.name}"}, b'{"id":7,"seller":"s"}'),
        ({"pick": "nothing"}, b"null"),
        ({"rename": {"seller.id": "number", "id": "code"}}, None),
        ({"remove": ["secret", "seller.id"]}, b'{"id":7,"price":9.990,"seller":{"name":"s"}}'),
        ({"pick": "seller", "rename": {"id": "code"}, "remove": ["name"]}, b'{"code":1}'),
    ],
)
def test_shapes(options: dict[str, Any], expected: bytes | None) -> None:
    renamed = b'{"code":7,"price":9.990,"secret":1E5,"seller":{"number":1,"name":"s"}}'

    assert answer(**options).body == (expected or renamed)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
        "text/json",
        "a/b+JSON ;q=1",
        "application/json charset=utf-8",
        "application/hal+json, application/json",
    ],
)
@pytest.mark.parametrize("status", [200, 201, 203, 299])
def test_json_is_touched(content_type: str, status: int) -> None:
    assert answer(headers={"Content-Type": content_type}, status=status).body == REMOVED


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"Content-Type": "image/png"}),
        (200, {"Content-Type": "application/json-seq"}),
        (200, {"Content-Type": "application/x-ndjson"}),
        (200, {"Content-Type": "text/html; a=application/json"}),
        (200, {"Content-Type": "image/png", "Content-Encoding": "gzip"}),
        (206, {"Content-Type": "video/mp4", "Content-Range": "bytes 0-1/9"}),
        (200, {}),
        (204, JSON),
        (301, JSON),
        (404, JSON),
        (500, {"Content-Type": "application/problem+json"}),
    ],
)
def test_the_rest_passes(status: int, headers: dict[str, str]) -> None:
    kept = {**headers, "ETag": '"a"', "Accept-Ranges": "bytes", "Digest": "x"}

    head = answer(headers=kept, status=status)

    assert (head.status, head.body, dict(head.headers.items())) == (status, BODY, kept)


def test_the_rest_is_not_collected() -> None:
    large = bytes(2 << 20)

    assert answer(large, {"Content-Type": "image/png"}).body == large
    assert answer(large, fields="query").body == large, "nothing was chosen"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", JSON),
        (b"<html>", JSON),
        (b'{"a": 1, "a": 2}', JSON),
        (b"[" * 200 + b"]" * 200, JSON),
        (b'"' + b"a" * (1 << 20) + b'"', JSON),
        (BODY, {**JSON, "Content-Encoding": "gzip"}),
        (BODY, {**JSON, "Content-Encoding": "identity, br"}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_shaped_is_502(body: bytes, headers: dict[str, str]) -> None:
    exchange = make_exchange()

    head = answer(body, headers, asked=exchange)

    assert (head.status, exchange.flag) == (502, "UPE")
    assert exchange.outcome == ("upstream_body_too_large" if len(body) > 1 << 20 else "upstream_malformed")
    assert head.headers.get("content-type") == "application/problem+json"


def test_what_a_function_cannot_take_is_502() -> None:
    assert answer(b'{"a": "text"}', pick="abs(a)").status == 502


@pytest.mark.parametrize("content_type", [JSON, {}])
def test_a_part_of_json_is_416(content_type: dict[str, str]) -> None:
    head = answer(b'{"secret"', {**content_type, "Content-Range": "bytes 0-8/99"}, status=206)

    assert (head.status, b"secret" in (head.body or b"")) == (416, False)


def test_the_limit_is_an_option() -> None:
    assert answer(remove=["secret"], max_body="10B").status == 502
    assert answer(b'"' + b"a" * (2 << 20) + b'"', remove=["secret"], max_body="4MiB").status == 200


def test_identity_is_no_coding() -> None:
    assert answer(headers={**JSON, "Content-Encoding": "Identity "}).body == REMOVED


def test_fields_of_the_bytes_go() -> None:
    named = {"Accept-Ranges": "bytes", "Content-MD5": "x", "Digest": "x", "Repr-Digest": "x", "Content-Digest": "x"}
    dated = {**JSON, "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"}

    head = answer(headers={**dated, **named, "ETag": '"abc"'})

    assert dict(head.headers.items()) == {**dated, "ETag": 'W/"abc"'}
    assert answer(headers={**JSON, "ETag": 'W/"abc"'}).headers.get("etag") == 'W/"abc"'


@pytest.mark.parametrize(("asked", "tag"), [('W/"abc"', 'W/"abc"'), ('"abc"', '"abc"'), (None, '"abc"')])
def test_a_304_has_the_tag_that_the_client_has(asked: str | None, tag: str) -> None:
    exchange = make_exchange(headers={} if asked is None else {"If-None-Match": asked})

    head = answer(b"", {"ETag": '"abc"'}, 304, exchange)

    assert (head.status, head.headers.get("etag")) == (304, tag)


def test_an_answer_without_a_body_stays_without() -> None:
    assert answer(b"").body == b""


@pytest.mark.parametrize(
    ("options", "path", "target", "expected"),
    [
        ({"fields": "query"}, "/x?fields=id,seller.name&a=1", "/x?a=1", b'{"id":7,"seller":{"name":"s"}}'),
        ({"fields": "query"}, "/x?fields=price", "/x", b'{"price":9.990}'),
        ({"fields": "query"}, "/x?a=1", "/x?a=1", BODY),
        ({"fields": "query"}, "/x", "/x", BODY),
        ({"fields": "query"}, "/x?fields=", "/x", BODY),
        ({"fields": "query", "parameter": "only"}, "/x?only=id&fields=b", "/x?fields=b", b'{"id":7}'),
        ({"fields": "query", "remove": ["secret"]}, "/x?fields=secret,id", "/x", b'{"id":7}'),
        ({"fields": "query", "rename": {"id": "code"}}, "/x?fields=code,price", "/x", b'{"code":7,"price":9.990}'),
        ({"fields": "off", "remove": ["secret"]}, "/x?fields=id", "/x?fields=id", REMOVED),
        (
            {"fields": "jsonapi"},
            "/x?fields[a]=id&fields=b",
            "/x?fields=b",
            COMPACT,
        ),
    ],
)
def test_the_client_chooses(options: dict[str, Any], path: str, target: str, expected: bytes) -> None:
    exchange = make_exchange(path=path)

    assert answer(asked=exchange, **options).body == expected
    assert exchange.target == target


def test_sparse_fieldsets() -> None:
    body = b'{"data": {"type": "a", "id": "1", "attributes": {"x": 1.0, "y": 2}}}'
    expected = b'{"data":{"type":"a","id":"1","attributes":{"x":1.0}}}'

    assert answer(body, asked=make_exchange(path="/x?fields%5Ba%5D=x"), fields="jsonapi").body == expected


def test_what_is_no_choice_is_400() -> None:
    head = answer(asked=make_exchange(path="/x?fields=a..b"), fields="query")

    assert head.status == 400
    assert b"write names with dots between them" in (head.body or b"")


@pytest.mark.parametrize(("asked", "sent"), [("bytes=0-1", "bytes=0-1"), ("bytes=0-1,5-6", None), (None, None)])
def test_upstreams_are_asked_for_what_can_be_read(asked: str | None, sent: str | None) -> None:
    headers = [("Accept-Encoding", "gzip, br"), *([("Range", asked)] if asked else [])]
    exchange = make_exchange(headers=headers)

    answer(asked=exchange)

    assert exchange.headers.get_all("accept-encoding") == ["identity"]
    assert exchange.headers.get("range") == sent


class Answers(Plugin):
    """Answers requests itself, or failures."""

    fallback = False

    def on_request(self, exchange: Exchange) -> Reply | None:
        return None if self.fallback else Reply(200, JSON, BODY)

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        return Reply(200, JSON, BODY)


@pytest.mark.parametrize("fallback", [False, True])
def test_the_gateways_own_answers_pass(fallback: bool) -> None:
    answers = Answers(None, make_env())
    answers.fallback = fallback
    plugins = [make_plugin(Transform, remove=["secret"]), answers]

    head = run(plugins, make_exchange(), Reply(200, JSON, b"{") if fallback else Reply(599))

    assert (head.body, head.headers.get("etag")) == (BODY, None)


def test_two_of_them_work_one_after_the_other() -> None:
    outer = make_plugin(Transform, fields="query", parameter="outer")
    inner = make_plugin(Transform, rename={"a": "b", "c": "d"}, fields="query", parameter="inner")
    exchange = make_exchange(path="/x?outer=d&inner=b,d")

    assert run([outer, inner], exchange, Reply(200, JSON, b'{"a":1,"c":2.0,"e":3}')).body == b'{"d":2.0}'
    assert exchange.target == "/x"


def test_only_chosen_fields_need_an_attempt() -> None:
    assert not make_plugin(Transform, pick="a").uses_phase("on_attempt")
    assert make_plugin(Transform, fields="query").uses_phase("on_attempt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "it does nothing: give pick, rename, remove or fields"),
        ({"pick": "a b"}, "not a JMESPath expression at character 3"),
        ({"remove": ["a."]}, "'a.' is not a path"),
        ({"rename": {"a": "b.c"}}, "a new name and not a path"),
        ({"fields": "all"}, "fields"),
        ({"fields": "query", "parameter": "a[b]"}, r"'a\[b\]' is no name of a query parameter"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plugin(Transform, **options)
