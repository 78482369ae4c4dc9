"""How a part's answer is read, and what a failure of it comes to."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.compose.plan import Part
from gateway.compose.results import (
    JSON_TYPES,
    TYPES_KEPT,
    KeptFields,
    Result,
    broken,
    invalid,
    is_json,
    read,
    refused,
    unaskable,
)
from gateway.compose.template import MISSING, Scope, TargetTemplate, Unresolved
from gateway.errors import GatewayError, Kind
from gateway.legacy.load import make_codec
from gateway.shaping.exact import write
from gateway.shaping.pick import compile_pick
from gateway.testing import make_head

TARGET = TargetTemplate("/", Scope(frozenset(), {}))
EXACT = b' {"b":9.990,"a":123456789012345678901234567890} '
SOAP = {"soap": {"operation": "Get", "types": {"price": "number"}, "faults": {"NoSuch": 404}}}
ENVELOPE = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>'


def part(**options: Any) -> Part:
    return Part("p", 0, "r/p", "up", TARGET, **{"key": "p", **options})


def came(one: Part, body: bytes, status: int = 200, **fields: str) -> Result:
    return read(
        one, status, make_head(status, {name.replace("_", "-"): text for name, text in fields.items()}), body, 0
    )


def failing(one: Part, body: bytes = b"{}", status: int = 200, **fields: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        came(one, body, status, **fields)
    return caught.value


def test_what_is_only_passed_on_stays_as_it_came() -> None:
    result = came(part(spliced=True), EXACT)
    assert (result.state, result.value, result.raw) == ("came", MISSING, EXACT)
    assert write({"p": result.shown}) == b'{"p":' + EXACT + b"}"


def test_what_others_look_into_is_read_too() -> None:
    result = came(part(spliced=True, referred=True), EXACT)
    assert result.raw == EXACT
    assert result.value["a"] == 123456789012345678901234567890


def test_what_is_picked_from() -> None:
    result = came(part(pick=compile_pick("{x: b, y: a}")), EXACT)
    assert write(result.shown) == b'{"x":9.990,"y":123456789012345678901234567890}'
    assert result.raw is None


@pytest.mark.parametrize(
    ("options", "body", "status", "method"),
    [
        ({"spliced": True}, b"", 204, "GET"),
        ({"spliced": True}, b"", 205, "GET"),
        ({"spliced": True}, b"", 200, "HEAD"),
        ({"pick": compile_pick("a.b")}, b"", 204, "GET"),
    ],
)
def test_an_answer_without_a_body_is_null(options: dict[str, Any], body: bytes, status: int, method: str) -> None:
    result = came(part(method=method, **options), body, status)
    assert (result.state, result.shown) == ("came", None)


@pytest.mark.parametrize("spliced", [True, False])
@pytest.mark.parametrize(
    ("body", "fields", "said"),
    [
        (b"", {}, "answered rubbish: not JSON"),
        (b'{"a":', {}, "answered rubbish: not JSON"),
        (b"{} {}", {}, "answered rubbish: not JSON"),
        (b"NaN", {}, "answered rubbish: not JSON"),
        (b'{"a":"\xff"}', {}, "answered rubbish: not JSON"),
        (b"\xef\xbb\xbf{}", {}, "answered rubbish: not JSON"),
        (b'{"a":1,"a":2}', {}, "two members of one name"),
        (b"[" * 200 + b"]" * 200, {}, "nested more than 128 levels"),
        (b"1." + b"0" * 2000, {}, "more than 1000 characters"),
        (b"{}", {"content_type": "text/html"}, "it is 'text/html' and no JSON"),
        (b"{}", {"content_type": "application/jsonp"}, "and no JSON"),
        (b"{}", {"content_encoding": "gzip"}, "it is compressed, which was not asked for"),
    ],
)
def test_rubbish(spliced: bool, body: bytes, fields: dict[str, str], said: str) -> None:
    error = failing(part(spliced=spliced), body, **fields)
    assert (error.kind, error.answer.status) == (Kind.PART_INVALID, 502)
    assert error.cause.startswith("the part p ")
    assert said in error.cause
    assert error.detail == "the part 'p' is unusable"


@pytest.mark.parametrize(
    "media",
    ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/problem+json", "a/b+JSON"],
)
def test_types_that_are_json(media: str) -> None:
    assert came(part(), b"{}", content_type=media).value == {}
    assert is_json(media.encode())


def test_what_is_known_of_types_is_bounded() -> None:
    for number in range(TYPES_KEPT * 2):
        is_json(b"a/b%d" % number)
    is_json(b"application/json; a=" + b"x" * 200)
    assert len(JSON_TYPES) <= TYPES_KEPT
    assert max(len(known or b"") for known in JSON_TYPES) <= 128
    assert came(part(), b"{}", content_type="application/json").value == {}
    assert came(part(), b"{}").value == {}


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (301, Kind.PART_INVALID, 502),
        (304, Kind.PART_INVALID, 502),
        (400, Kind.PART_REFUSED, 400),
        (404, Kind.PART_REFUSED, 404),
        (429, Kind.PART_REFUSED, 429),
        (499, Kind.PART_REFUSED, 499),
        (500, Kind.PART_FAILED, 502),
        (503, Kind.PART_FAILED, 502),
        (599, Kind.PART_FAILED, 502),
    ],
)
def test_answers_that_are_failures(status: int, kind: Kind, told: int) -> None:
    error = failing(part(), b"secret", status)
    assert (error.kind, error.answer.status) == (kind, told)
    assert str(status) in error.cause
    assert "secret" not in f"{error.cause} {error.detail}"


def test_what_a_refusal_asks_for_is_passed_on() -> None:
    error = failing(part(), status=401, www_authenticate='Bearer realm="x"')
    assert error.headers == {"WWW-Authenticate": 'Bearer realm="x"'}
    assert failing(part(), status=429, retry_after="7").retry_after == 7
    later = failing(part(), status=503, retry_after="7")
    assert (later.headers, later.retry_after) == ({}, None)
    assert refused(part(), 404).headers == {}


def test_what_cannot_be_picked_from() -> None:
    error = failing(part(pick=compile_pick("sum(a)")), b'{"a":"x"}')
    assert error.kind is Kind.PART_INVALID
    assert "cannot be picked from: sum() takes" in error.cause


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
def test_what_is_merged_in_is_an_object(body: bytes) -> None:
    assert "answered no object" in failing(part(key=None), body).cause
    assert came(part(key=None), b'{"a":1}').value == {"a": 1}


# formats


def test_another_format() -> None:
    codec = make_codec({"xml": {"types": {"price": "number"}}})
    result = came(part(codec=codec), b"<a><price>9.990</price></a>", content_type="text/xml")
    assert write(result.shown) == b'{"a":{"price":9.990}}'
    picked = part(codec=codec, pick=compile_pick("a.price"))
    assert write(came(picked, b"<a><price>9.990</price></a>", content_type="text/xml").shown) == b"9.990"
    summed = part(codec=codec, pick=compile_pick("sum([a.price])"))
    assert write(came(summed, b"<a><price>9.990</price></a>", content_type="text/xml").shown) == b"9.99"
    assert "rubbish" in failing(part(codec=codec), b"<a>", content_type="text/xml").cause


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [("Client", 500, 422), ("Server", 500, 502), ("NoSuch", 500, 404), ("NoSuch", 200, 404), ("Server", 200, 502)],
)
def test_faults(code: str, status: int, told: int) -> None:
    fault = f"<s:Fault><faultcode>{code}</faultcode><faultstring>x</faultstring></s:Fault>"
    error = failing(part(codec=make_codec(SOAP)), (ENVELOPE % fault).encode(), status, content_type="text/xml")
    assert error.answer.status == told


def test_a_failure_that_is_no_fault_keeps_its_status() -> None:
    one = part(codec=make_codec(SOAP))
    assert failing(one, b"<rubbish", 500, content_type="text/xml").kind is Kind.PART_FAILED
    assert failing(one, b"gone", 410, content_type="text/plain").answer.status == 410


# no answer at all


def test_no_answer() -> None:
    error = broken(part(), GatewayError(Kind.RESPONSE_TIMEOUT, cause="up:1 is slow"))
    assert (error.kind, error.answer.status) == (Kind.RESPONSE_TIMEOUT, 504)
    assert error.cause == "the part p: the upstream took too long to answer: up:1 is slow"
    assert error.detail == "the part 'p' is missing: the upstream took too long to answer"
    spared = broken(part(), GatewayError(Kind.BREAKER_OPEN, retry_after=3.5))
    assert (spared.cause, spared.retry_after) == ("the part p: the service is being spared", 3.5)


def test_whose_fault_it_is_that_nobody_could_be_asked() -> None:
    client = unaskable(part(needs=(1,)), Unresolved("{query.a} is not there", True))
    assert (client.kind, client.answer.status, client.failure) == (Kind.BAD_REQUEST, 400, None)
    assert client.detail == "the part 'p' cannot be asked with this request: {query.a} is not there"
    other = unaskable(part(needs=(1,)), Unresolved("{product.a} is not there"))
    assert (other.kind, other.answer.status) == (Kind.PART_INVALID, 502)
    assert other.cause == "the part p cannot be asked: {product.a} is not there"
    assert unaskable(part(needs=(1,)), ValueError("x")).kind is Kind.PART_INVALID
    # Where no other part has a say it can only be the request.
    assert unaskable(part(), ValueError("x")).kind is Kind.BAD_REQUEST
    assert invalid(part(), "is no use").cause == "the part p is no use"


def test_fields_that_were_kept() -> None:
    fields = KeptFields({"content-type": "a/b\u00e9"})
    assert fields.raw(b"content-type") == b"a/b\xe9"
    assert fields.raw(b"etag") is None
    assert read(part(), 200, KeptFields({}), b"[1]", 0).value == [1]


def test_a_result_shows_what_there_is() -> None:
    assert Result("stands_in", [1]).shown == [1]
    assert isinstance(Result("came", MISSING, b"1").shown, orjson.Fragment)
    assert repr(Result("absent")) == "<Result absent>"
