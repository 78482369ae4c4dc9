"""XML and forms in, JSON in between, and XML out."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.legacy_client import LegacyClient

from gateway.chain import Chain
from gateway.exchange import Exchange, Reply
from gateway.testing import make_exchange, make_head, make_plugin, run
from gateway.wire.head import ResponseHead

XML = {"Content-Type": "text/xml"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ORDER = {"root": "order", "namespace": "urn:orders", "lists": ["item"], "types": {"quantity": "integer"}}
START = b'<?xml version="1.0" encoding="UTF-8"?>\n'
NEVER = Reply(599)


def ask(
    answer: Reply, body: bytes = b"", method: str = "POST", headers: Any = XML, **options: Any
) -> tuple[ResponseHead, Exchange]:
    exchange = make_exchange(method, "/orders", headers, body)
    return run(make_plugin(LegacyClient, **options), exchange, answer), exchange


def test_which_bodies_are_collected() -> None:
    both = Chain([make_plugin(LegacyClient, xml=ORDER, max_body="2KiB")])
    assert (both.request_body, len(both.responses)) == (2048, 1)
    told = [make_head(200, {"Content-Type": kind}) for kind in ("application/json", "image/png")]
    assert [both.response_body(make_exchange(), head) for head in told] == [2048, 0]
    one = Chain([make_plugin(LegacyClient, form={})])
    assert (one.request_body, one.collectors, one.responses) == (1 << 20, (), ())


def test_xml_and_back() -> None:
    body = b'<o:any xmlns:o="urn:orders"><o:item>tea</o:item><o:quantity>2</o:quantity></o:any>'
    answer = Reply.json(201, {"id": 7, "item": ["tea"], "none": None}, {"ETag": '"1"'})
    head, exchange = ask(answer, body, xml=ORDER)

    assert exchange.body == b'{"item":["tea"],"quantity":2}'
    sent = dict(exchange.headers.items())
    assert (sent["Content-Type"], sent["Accept"], sent["Accept-Encoding"]) == (*["application/json"] * 2, "identity")
    assert head.body == START + b'<order xmlns="urn:orders"><id>7</id><item>tea</item><none/></order>'
    assert (head.status, head.headers.get("content-type")) == (201, "application/xml; charset=utf-8")
    assert head.headers.get("etag") == 'W/"1"'


@pytest.mark.parametrize(
    ("json", "xml"),
    [
        (b"[1,[2]]", b"<r><item>1</item><item><item>2</item></item></r>"),
        (b"9.990", b"<r>9.990</r>"),
        (b"null", b"<r/>"),
        (b'{"a":[]}', b"<r/>"),
    ],
)
def test_any_json_is_an_answer(json: bytes, xml: bytes) -> None:
    head, _ = ask(Reply(200, {"Content-Type": "application/json"}, json), method="GET", xml={"root": "r"})
    assert head.body == START + xml


def test_the_gateways_own_errors_are_xml_too() -> None:
    head, exchange = ask(NEVER, b"<a", xml={"root": "r"})
    assert (head.status, exchange.attempts) == (400, 0)
    assert head.headers.get("content-type") == "application/xml; charset=utf-8"
    assert b"<r><type>urn:aiogate:problem:bad_request</type>" in (head.body or b"")
    assert b"<detail>the body cannot be read: not XML: unclosed token at line 1, column 1<" in (head.body or b"")


@pytest.mark.parametrize(
    ("body", "headers", "options", "status", "wanted"),
    [
        (b"<!DOCTYPE a><a/>", XML, {"xml": ORDER}, 400, None),
        (b"<a><quantity>x</quantity></a>", XML, {"xml": ORDER}, 400, None),
        (b"{}", {"Content-Type": "application/json"}, {"xml": ORDER}, 415, "application/xml"),
        (b"a=1", FORM, {"xml": ORDER}, 415, "application/xml"),
        (b"<a/>", {**XML, "Content-Encoding": "gzip"}, {"xml": ORDER}, 415, None),
        (b"<a/>", XML, {"form": {}}, 415, "application/x-www-form-urlencoded"),
        (b"%FF", FORM, {"form": {}}, 400, None),
    ],
)
def test_what_cannot_go_on(body: bytes, headers: Any, options: Any, status: int, wanted: str | None) -> None:
    head, exchange = ask(NEVER, body, headers=headers, **options)
    assert (head.status, exchange.attempts, head.headers.get("accept")) == (status, 0, wanted)


def test_a_form_goes_on_as_json_and_its_answer_passes() -> None:
    answer = Reply.json(200, {"ok": True}, {"ETag": '"1"'})
    fields = {**FORM, "Accept": "text/html", "Accept-Encoding": "gzip"}
    head, exchange = ask(answer, b"name=tea+pot&tag=a", headers=fields, form={"lists": ["tag"]})
    assert exchange.body == b'{"name":"tea pot","tag":["a"]}'
    assert exchange.headers.get("content-type") == "application/json"
    assert (exchange.headers.get("accept"), exchange.headers.get("accept-encoding")) == ("text/html", "gzip")
    assert (head.body, head.headers.get("etag")) == (b'{"ok":true}', '"1"')


@pytest.mark.parametrize("content_type", ["image/png", "text/xml", "text/html", ""])
def test_answers_of_other_types_pass(content_type: str) -> None:
    fields = {"Content-Type": content_type} if content_type else {}
    head, _ = ask(Reply(200, fields, b"{nothing"), method="GET", headers={}, xml=ORDER)
    assert (head.status, head.body, head.headers.get("content-type", "")) == (200, b"{nothing", content_type)


@pytest.mark.parametrize(
    ("body", "fields"),
    [(b"{", {}), (b'{"a b":1}', {}), (b'{"a":"\\u0000"}', {}), (b"{}", {"Content-Encoding": "gzip"})],
)
def test_an_answer_that_xml_cannot_say_is_a_bad_gateway(body: bytes, fields: dict[str, str]) -> None:
    answer = Reply(200, {"Content-Type": "application/json", **fields}, body)
    head, exchange = ask(answer, method="GET", headers={"Accept": "text/html"}, xml={"root": "r"})
    assert (head.status, exchange.attempts) == (502, 1)
    assert head.headers.get("content-type") == "application/xml; charset=utf-8"
    assert head.headers.get("proxy-status") == "gateway; error=http_protocol_error"
    assert b"<r><type>urn:aiogate:problem:upstream_malformed</type>" in (head.body or b"")


def test_answers_without_a_body() -> None:
    fields = {"Content-Type": "application/json", "ETag": '"1"'}
    head, _ = ask(Reply(200, fields), method="HEAD", headers={}, xml=ORDER)
    assert (head.headers.get("content-type"), head.headers.get("etag")) == ("application/xml; charset=utf-8", 'W/"1"')
    head, _ = ask(Reply(304, {"ETag": '"1"'}), method="GET", headers={}, xml=ORDER)
    assert head.headers.get("etag") == 'W/"1"'
    head, _ = ask(Reply(202, fields), method="DELETE", headers={}, xml=ORDER)
    assert (head.status, head.headers.get("content-type"), head.body) == (202, "application/json", b"")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "clients speak xml or form"),
        ({"xml": ORDER, "form": {}}, "clients speak xml or form"),
        ({"xml": {}}, "name it, as in xml:"),
        ({"form": {}, "max_body": "0"}, "max_body is how long"),
        ({"soap": {"operation": "a"}}, "unknown key 'soap'"),
    ],
)
def test_options_that_cannot_work(options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_plugin(LegacyClient, **options)
