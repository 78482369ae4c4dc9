"""JSON in and out, and something older in between."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.legacy_service import LegacyService

from gateway.chain import Chain
from gateway.exchange import Exchange, Reply
from gateway.shaping.exact import parse
from gateway.testing import make_exchange, make_head, make_plugin, run
from gateway.wire.head import ResponseHead

JSON = {"Content-Type": "application/json"}
SOAP = {"operation": "GetPrice", "namespace": "urn:stock", "action": "urn:stock#GetPrice", "types": {"price": "number"}}
NEVER = Reply(599)


def envelope(content: str) -> bytes:
    uri = "http://schemas.xmlsoap.org/soap/envelope/"
    return f'<e:Envelope xmlns:e="{uri}"><e:Body>{content}</e:Body></e:Envelope>'.encode()


def xml(body: str | bytes, status: int = 200, **fields: str) -> Reply:
    data = body.encode() if isinstance(body, str) else body
    return Reply(status, {"Content-Type": "text/xml", **fields}, data)


def ask(
    answer: Reply, body: bytes = b"{}", method: str = "POST", headers: Any = JSON, **options: Any
) -> tuple[ResponseHead, Exchange]:
    exchange = make_exchange(method, "/price", headers, body)
    return run(make_plugin(LegacyService, **options), exchange, answer), exchange


def test_both_bodies_are_collected_up_to_one_size() -> None:
    chain = Chain([make_plugin(LegacyService, xml={}, max_body="2KiB")])
    assert chain.request_body == 2048
    told = [make_head(200, {"Content-Type": kind}) for kind in ("text/xml", "image/png")]
    assert [chain.response_body(make_exchange(), head) for head in told] == [2048, 0]
    assert make_plugin(LegacyService, xml={}).max_body == 1 << 20


def test_a_soap_operation() -> None:
    answer = xml(envelope("<GetPriceResponse><price>9.990</price></GetPriceResponse>"), ETag='"1"')
    head, exchange = ask(answer, b'{"symbol":"A&B"}', soap=SOAP)

    assert (head.status, head.body) == (200, b'{"price":9.990}')
    assert head.headers.get("content-type") == "application/json"
    assert head.headers.get("etag") == 'W/"1"'
    assert b'xmlns="urn:stock"' in (exchange.body or b"")
    assert b"<GetPrice><symbol>A&amp;B</symbol></GetPrice>" in (exchange.body or b"")
    sent = dict(exchange.headers.items())
    assert sent["Content-Type"] == "text/xml; charset=utf-8"
    assert sent["SOAPAction"] == '"urn:stock#GetPrice"'
    assert (sent["Accept"], sent["Accept-Encoding"]) == ("text/xml", "identity")


def test_a_clients_own_soap_action_is_replaced() -> None:
    _, exchange = ask(NEVER, headers={**JSON, "soapaction": "evil"}, soap=SOAP)
    assert exchange.headers.get_all("soapaction") == ['"urn:stock#GetPrice"']


def test_an_operation_without_parameters() -> None:
    head, exchange = ask(xml(envelope("")), b"", headers={}, soap={"operation": "Ping"})
    assert (head.status, head.body) == (200, b"null")
    assert b"<soap:Body><Ping/></soap:Body>" in (exchange.body or b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_an_operation_is_a_post(method: str) -> None:
    head, exchange = ask(NEVER, b"", method, {}, soap=SOAP)
    assert (head.status, head.headers.get("allow"), exchange.attempts) == (405, "POST", 0)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b'{"a":1,"a":2}', JSON, 400),
        (b'{"a b":1}', JSON, 400),
        (b'{"a":"\\u0000"}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"<a/>", {"Content-Type": "text/xml"}, 415),
        (b"a=1", {}, 415),
        (b"{}", {**JSON, "Content-Encoding": "gzip"}, 415),
    ],
)
@pytest.mark.parametrize("options", [{"soap": SOAP}, {"xml": {"root": "a"}}])
def test_what_cannot_go_on(body: bytes, headers: Any, status: int, options: Any) -> None:
    head, exchange = ask(NEVER, body, headers=headers, **options)
    assert (head.status, exchange.attempts) == (status, 0)
    assert head.headers.get("content-type") == "application/problem+json"
    assert parse(head.body or b"")["detail"]


def test_plain_xml() -> None:
    options = {"xml": {"root": "order", "lists": ["item"], "types": {"@id": "integer"}, "content_type": "text/xml"}}
    head, exchange = ask(xml('<done id="7"><item>tea</item></done>', 201), b'{"item":["tea","milk"]}', **options)
    assert (exchange.body or b"").endswith(b"<order><item>tea</item><item>milk</item></order>")
    assert exchange.headers.get("content-type") == "text/xml; charset=utf-8"
    assert (head.status, head.body) == (201, b'{"@id":7,"item":["tea"]}')


def test_a_request_without_a_body_goes_on_as_it_is() -> None:
    head, exchange = ask(xml("<a>1</a>"), b"", "GET", {"Accept": "application/json", "Range": "bytes=0-1"}, xml={})
    assert (head.body, exchange.body) == (b'{"a":"1"}', b"")
    assert exchange.headers.get("accept") == "application/xml, text/xml;q=0.9"
    assert exchange.headers.get("range") is exchange.headers.get("content-type") is None


def test_forms() -> None:
    answer = Reply(200, {"Content-Type": "application/x-www-form-urlencoded"}, b"ACK=Success&AMT=9.990&L=1&L=2")
    head, exchange = ask(answer, b'{"METHOD":"Pay","AMT":9.990,"none":null}', form={})
    assert exchange.body == b"METHOD=Pay&AMT=9.990"
    assert exchange.headers.get("content-type") == "application/x-www-form-urlencoded"
    assert head.body == b'{"ACK":"Success","AMT":"9.990","L":["1","2"]}'
    assert ask(NEVER, b'{"a":{}}', form={})[0].status == 400


@pytest.mark.parametrize("content_type", ["image/png", "text/html", "image/svg+xml", "application/json", ""])
def test_answers_of_other_types_pass(content_type: str) -> None:
    fields = {"Content-Type": content_type, "ETag": '"1"'} if content_type else {"ETag": '"1"'}
    head, _ = ask(Reply(200, fields, b"<not xml"), xml={"root": "a"})
    assert (head.status, head.body, head.headers.get("etag")) == (200, b"<not xml", '"1"')
    assert head.headers.get("content-type", "") == content_type


@pytest.mark.parametrize("status", [200, 201, 404, 500])
def test_errors_in_xml_become_json_and_keep_their_status(status: int) -> None:
    head, _ = ask(xml("<error><text>no</text></error>", status), xml={"root": "a"})
    assert (head.status, head.body) == (status, b'{"text":"no"}')


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (xml("<a"), {"xml": {"root": "a"}}),
        (xml("<!DOCTYPE a><a/>"), {"xml": {"root": "a"}}),
        (xml("<a/>", **{"Content-Encoding": "gzip"}), {"xml": {"root": "a"}}),
        (xml("<a/>"), {"soap": SOAP}),
        (xml(envelope("<r><price>n/a</price></r>")), {"soap": SOAP}),
        (Reply(200, {"Content-Type": "application/x-www-form-urlencoded"}, b"%FF"), {"form": {}}),
    ],
)
def test_rubbish_is_a_bad_gateway(answer: Reply, options: Any) -> None:
    head, exchange = ask(answer, **options)
    problem = parse(head.body or b"")
    assert (head.status, problem["status"], problem["type"]) == (502, 502, "urn:aiogate:problem:upstream_malformed")
    assert head.headers.get("proxy-status") == "gateway; error=http_protocol_error"
    assert head.headers.get("content-encoding") is None
    assert exchange.attempts == 1


def fault(code: str, reason: str = "no &amp; no", detail: str = "") -> Reply:
    content = f"<e:Fault><faultcode>e:{code}</faultcode><faultstring>{reason}</faultstring>{detail}</e:Fault>"
    return xml(envelope(content), 500, **{"Cache-Control": "max-age=60"})


DETAIL = "<detail><Gone><at>Stock.java:7</at></Gone></detail>"


@pytest.mark.parametrize(
    ("answer", "options", "status", "more"),
    [
        (fault("Client"), {}, 422, {}),
        (fault("Server", detail=DETAIL), {}, 502, {}),
        (fault("Server", detail=DETAIL), {"faults": {"Gone": 410}}, 410, {}),
        (fault("Client", detail=DETAIL), {"fault_detail": True}, 422, {"fault": {"Gone": {"at": "Stock.java:7"}}}),
    ],
)
def test_faults(answer: Reply, options: Any, status: int, more: Any) -> None:
    head, exchange = ask(answer, soap={**SOAP, **options})
    problem = parse(head.body or b"")
    assert head.status == status
    assert head.headers.get("content-type") == "application/problem+json"
    assert head.headers.get("cache-control") == "no-store"
    assert (head.headers.get("proxy-status") is None) is (status < 500)
    assert problem == {
        "type": "urn:aiogate:problem:service_fault",
        "title": "The service reports a fault",
        "status": status,
        "detail": "no & no",
        "instance": "/price",
        "request_id": exchange.request_id,
        "code": "Server" if b"e:Server" in answer.body else "Client",
        **more,
    }


def test_head_and_304_tell_no_length() -> None:
    head, _ = ask(xml("", ETag='"1"'), b"", "HEAD", {}, xml={})
    assert (head.headers.get("content-type"), head.headers.get("etag")) == ("application/json", 'W/"1"')
    head, _ = ask(Reply(304, {"ETag": '"1"'}), b"", "GET", {}, xml={})
    assert (head.status, head.headers.get("etag")) == (304, 'W/"1"')
    head, _ = ask(xml("", 204), b"", "DELETE", {}, xml={})
    assert (head.status, head.body) == (204, b"")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "there is one format, xml, soap or form"),
        ({"xml": {}, "soap": SOAP}, "there is one format"),
        ({"xml": {}, "max_body": "0"}, "max_body is how long a body may be; write 1MiB|max_body is how long"),
        ({"soap": {"namespace": "urn:x"}}, "missing key 'operation' in soap"),
        ({"xml": {"roots": "a"}}, "unknown key 'roots' in xml .did you mean 'root'"),
        ({"soap": {**SOAP, "header": {"x:a": 1}}}, "the prefix of 'x:a' is not one of `namespaces`"),
    ],
)
def test_options_that_cannot_work(options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_plugin(LegacyService, **options)
