"""Whose answers are compressed, which are not, and what their heads say of it."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.breaker import Breaker
from gateway.plugins.compression import Compression

from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Reply, ResponseHead
from gateway.plugin import Plugin
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin, run
from tests.support.codings import decoded

TEXT = "Compositions of services. " * 100
BODY = TEXT.encode()
JSON = "application/json"
NOISE = bytes(range(256))


class Answering(Plugin):
    """Gives one reply to all."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(None, make_env())
        self.reply = reply

    def on_request(self, exchange: Exchange) -> Reply | None:
        return self.reply


class Holding(Plugin):
    """Has the upstream's answer collected, and adds to it."""

    needs_body = "response"

    def __init__(self) -> None:
        super().__init__(None, make_env())

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        head.body = (head.body or b"") + b"!"


def answer(
    fields: dict[str, str] | None = None,
    accepts: str | None = "br",
    body: bytes = BODY,
    status: int = 200,
    method: str = "GET",
    plugin: Compression | None = None,
    **options: Any,
) -> ResponseHead:
    """What a client gets of a reply with these fields, which is JSON unless they say something else."""
    reply = Reply(status, {"Content-Type": JSON} | (fields or {}), body)
    exchange = make_exchange(method, "/", {} if accepts is None else {"Accept-Encoding": accepts})
    return run([plugin or make_plugin(Compression, **options), Answering(reply)], exchange)


def told(head: ResponseHead) -> tuple[str | None, str | None]:
    return head.headers.get("content-encoding"), head.headers.get("vary")


def is_left_alone(head: ResponseHead, body: bytes = BODY) -> bool:
    return head.body == body and told(head) == (None, None)


@pytest.mark.parametrize(
    ("accepts", "coding"),
    (
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("deflate", None),
        ("", None),
        (None, None),
    ),
)
@pytest.mark.parametrize("method", ("GET", "HEAD", "POST"))
def test_a_client_gets_what_it_likes_best(accepts: str | None, coding: str | None, method: str) -> None:
    head = answer(accepts=accepts, method=method)

    assert told(head) == (coding, "Accept-Encoding")
    assert head.body is not None
    assert decoded(head.body, coding) == BODY
    assert (len(head.body) < len(BODY)) is (coding is not None)


def test_the_order_is_the_options() -> None:
    assert told(answer(accepts="*", codings=["gzip", "br"]))[0] == "gzip"
    assert told(answer(accepts="zstd", codings=["gzip", "br"])) == (None, "Accept-Encoding")


def test_what_the_client_said_holds_though_plugins_ask_services_for_something_else() -> None:
    class Asks(Plugin):
        def on_request(self, exchange: Exchange) -> None:
            exchange.headers.set("Accept-Encoding", "identity")

    exchange = make_exchange("GET", "/", {"Accept-Encoding": "gzip"})
    reply = Reply.text(200, TEXT)

    head = run([make_plugin(Compression), Asks(None, make_env()), Answering(reply)], exchange)

    assert told(head) == ("gzip", "Accept-Encoding")


# what is compressed


def test_upstreams_answers_stream_through() -> None:
    exchange = make_exchange("GET", "/", {"Accept-Encoding": "br"})

    head = run(make_plugin(Compression), exchange, Reply.text(200, TEXT))

    assert is_left_alone(head)


def test_but_those_that_a_plugin_holds_are_compressed_after_it() -> None:
    exchange = make_exchange("GET", "/", {"Accept-Encoding": "br"})

    head = run([make_plugin(Compression), Holding()], exchange, Reply.text(200, TEXT))

    assert told(head) == ("br", "Accept-Encoding")
    assert decoded(head.body or b"", "br") == BODY + b"!"


def test_problems_are_compressed() -> None:
    exchange = make_exchange("GET", "/", {"Accept-Encoding": "gzip"})
    error = GatewayError(Kind.BAD_REQUEST, "This was said before. " * 20)

    head = run(make_plugin(Compression, min_size="100B"), exchange, error)

    assert (head.status, *told(head)) == (400, "gzip", "Accept-Encoding")
    assert b"This was said before." in decoded(head.body or b"", "gzip")


@pytest.mark.parametrize(
    ("media_type", "fits"),
    (
        ("text/html; charset=utf-8", True),
        ("Text/CSS", True),
        ("application/json;charset=utf-8", True),
        ("application/problem+json", True),
        ("image/svg+xml", True),
        ("application/javascript", True),
        ("image/png", False),
        ("application/octet-stream", False),
        ("application/jsonx", False),
        ("x-text/html", False),
        ("", False),
    ),
)
def test_types(media_type: str, fits: bool) -> None:
    head = answer({"Content-Type": media_type})

    assert told(head) == (("br", "Accept-Encoding") if fits else (None, None))


@pytest.mark.parametrize(
    ("types", "fits"),
    (([JSON], True), (["APPLICATION/*"], True), (["*+json"], False), (["text/*", "image/svg+xml"], False), ([], False)),
)
def test_types_by_option(types: list[str], fits: bool) -> None:
    assert (told(answer(types=types))[0] is not None) is fits


@pytest.mark.parametrize(("length", "fits"), ((99, False), (100, True), (1000, True), (1001, False)))
def test_sizes(length: int, fits: bool) -> None:
    head = answer(body=b"a" * length, min_size="100B", max_size="1000B")

    assert told(head) == (("br", "Accept-Encoding") if fits else (None, None))


def test_default_sizes() -> None:
    sizes = [1023, 1024, 256 * 1024, 256 * 1024 + 1]

    assert [told(answer(body=b"a" * size))[0] for size in sizes] == [None, "br", "br", None]


@pytest.mark.parametrize(
    "fields",
    (
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "identity"},
        {"Cache-Control": "public, No-Transform"},
        {"Content-Digest": "sha-256=:abc=:"},
        {"Repr-Digest": "sha-256=:abc=:"},
    ),
)
def test_what_says_so_is_left_alone(fields: dict[str, str]) -> None:
    head = answer(fields | {"ETag": '"a"'})

    assert (head.body, head.headers.get("vary"), head.headers.get("etag")) == (BODY, None, '"a"')
    assert head.headers.get("content-encoding") == fields.get("Content-Encoding")


@pytest.mark.parametrize("status", (204, 205, 206))
def test_statuses_that_are_left_alone(status: int) -> None:
    assert is_left_alone(answer(status=status))


def test_what_does_not_get_smaller_stays_as_it_is() -> None:
    head = answer({"ETag": '"a"'}, body=NOISE, min_size="1B")

    assert told(head) == (None, "Accept-Encoding")
    assert (head.body, head.headers.get("etag")) == (NOISE, '"a"')


# validators


@pytest.mark.parametrize(("fields", "expected"), (({}, None), ({"ETag": '"a"'}, 'W/"a"'), ({"ETag": 'W/"a"'}, 'W/"a"')))
def test_a_compressed_answer_has_a_weak_tag(fields: dict[str, str], expected: str | None) -> None:
    assert answer(fields).headers.get("etag") == expected
    assert answer(fields, accepts=None).headers.get("etag") == fields.get("ETag")


@pytest.mark.parametrize(("accepts", "tag"), (("br", 'W/"a"'), ("identity", '"a"'), (None, '"a"')))
def test_a_304_says_what_its_200_said(accepts: str | None, tag: str) -> None:
    head = answer({"ETag": '"a"', "Vary": "Cookie"}, accepts, b"", 304)

    assert (head.headers.get("etag"), told(head)) == (tag, (None, "Cookie, Accept-Encoding"))
    assert head.body == b""


@pytest.mark.parametrize("fields", ({}, {"ETag": '"a"', "Cache-Control": "no-transform"}))
def test_a_304_whose_200_was_not_touched(fields: dict[str, str]) -> None:
    head = answer(fields, "br", b"", 304)

    assert (head.headers.get("etag"), told(head)) == (fields.get("ETag"), (None, None))


def test_ranges_of_what_is_compressed_are_not_offered() -> None:
    assert answer({"Accept-Ranges": "bytes"}).headers.get("accept-ranges") is None
    assert answer({"Accept-Ranges": "bytes"}, accepts=None).headers.get("accept-ranges") == "bytes"


def test_vary_is_merged() -> None:
    assert answer({"Vary": "Origin"}).headers.get_all("vary") == ["Origin, Accept-Encoding"]
    assert answer({"Vary": "accept-encoding"}).headers.get_all("vary") == ["accept-encoding"]
    assert answer({"Vary": "*"}).headers.get_all("vary") == ["*"]


# memory


def test_the_same_body_is_compressed_once() -> None:
    plugin = make_plugin(Compression)

    first, second = answer(plugin=plugin), answer(plugin=plugin)

    assert first.body is second.body


def test_but_not_one_that_nobody_may_keep() -> None:
    plugin = make_plugin(Compression)

    first, second = (answer({"Cache-Control": "No-Store"}, plugin=plugin) for _ in range(2))

    assert first.body == second.body
    assert first.body is not second.body


def test_a_last_good_answer_is_kept_as_it_was_before() -> None:
    clock = FakeClock()
    env = make_env(clock)
    breaker = make_plugin(Breaker, env, fallback={"stale": {"for": "60s"}})
    plugins = [make_plugin(Compression, env), breaker, Holding()]
    good = Reply(200, {"Content-Type": JSON, "Content-Length": str(len(BODY))}, BODY)

    def ask(accepts: str, upstream: Reply) -> ResponseHead:
        return run(plugins, make_exchange("GET", "/", {"Accept-Encoding": accepts}), upstream)

    heads = [ask("gzip", good), ask("gzip", Reply(503)), ask("identity", Reply(503))]

    assert [told(head)[0] for head in heads] == ["gzip", "gzip", None]
    assert [head.headers.get("gateway-fallback") for head in heads] == [None, "stale", "stale"]
    assert {decoded(head.body or b"", told(head)[0]).rstrip(b"!") for head in heads} == {BODY}


# options


@pytest.mark.parametrize(
    ("options", "told"),
    (
        ({"codings": []}, "codings should name one at least"),
        ({"codings": ["br", "br"]}, "each once"),
        ({"codings": ["deflate"]}, "codings"),
        ({"min_size": "2KiB", "max_size": "1KiB"}, "min_size is at most max_size .1KiB., not 2KiB"),
        ({"types": ["json"]}, "'json' is no media type"),
        ({"types": ["*/*"]}, "is no media type"),
        ({"types": ["text/html; charset=utf-8"]}, "is no media type"),
    ),
)
def test_options_that_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make_plugin(Compression, **options)
