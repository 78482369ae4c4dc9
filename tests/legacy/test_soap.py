"""Envelopes of both versions, written and read, and what becomes of faults. Read by the standard library's parser."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.legacy.codec import ServiceFault
from gateway.legacy.options import ENVELOPES, SoapOptions
from gateway.legacy.soap import SoapCodec
from gateway.shaping.exact import write

ONE_MIB = 1 << 20
VERSIONS = ["1.1", "1.2"]


def codec(operation: str = "GetPrice", **options: Any) -> SoapCodec:
    return SoapCodec(SoapOptions(operation, **options), ONE_MIB)


def envelope(content: str, version: str = "1.1", header: str = "", prefix: str = "S") -> bytes:
    head = f"<{prefix}:Header>{header}</{prefix}:Header>" if header else ""
    uri = ENVELOPES[version]
    body = f"<{prefix}:Body>{content}</{prefix}:Body>"
    return f'<?xml version="1.0"?><{prefix}:Envelope xmlns:{prefix}="{uri}">{head}\n{body}</{prefix}:Envelope>'.encode()


def test_an_envelope_of_1_1() -> None:
    wanted = codec(namespace="urn:stock", action="urn:stock#GetPrice")
    body, content_type = wanted.encode({"symbol": "A&B", "list": [1, 2], "@x": "y"})

    assert body.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<soap:Envelope xmlns="urn:stock" xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        '<GetPrice x="y"><symbol>A&amp;B</symbol><list>1</list><list>2</list></GetPrice></soap:Body></soap:Envelope>'
    )
    assert content_type == "text/xml; charset=utf-8"
    assert wanted.request_headers == (("SOAPAction", '"urn:stock#GetPrice"'),)
    assert (wanted.accept, wanted.method) == ("text/xml", "POST")


def test_an_envelope_of_1_2() -> None:
    wanted = codec("m:GetPrice", version=1.2, namespaces={"m": "urn:stock"}, action="urn:stock#GetPrice")
    body, content_type = wanted.encode(None)

    assert body.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope" xmlns:m="urn:stock"><soap:Body>'
        "<m:GetPrice/></soap:Body></soap:Envelope>"
    )
    assert content_type == 'application/soap+xml; charset=utf-8; action="urn:stock#GetPrice"'
    assert (wanted.request_headers, wanted.accept, wanted.method) == ((), "application/soap+xml", "POST")


def test_without_an_action() -> None:
    assert codec().request_headers == (("SOAPAction", '""'),)
    assert codec(version="1.2").encode(None)[1] == "application/soap+xml; charset=utf-8"


def test_a_header() -> None:
    security = {"@soap:mustUnderstand": "1", "w:Token": {"@Type": "t", "#text": "<secret>"}}
    body, _ = codec(header={"w:Security": security, "w:Id": 7}, namespaces={"w": "urn:wsse"}).encode({"a": "1"})
    root = ET.fromstring(body)
    soap = f"{{{ENVELOPES['1.1']}}}"

    assert [child.tag for child in root] == [f"{soap}Header", f"{soap}Body"]
    found, number = root[0]
    assert (found.tag, found.attrib) == ("{urn:wsse}Security", {f"{soap}mustUnderstand": "1"})
    assert (found[0].tag, found[0].attrib, found[0].text) == ("{urn:wsse}Token", {"Type": "t"}, "<secret>")
    assert (number.tag, number.text) == ("{urn:wsse}Id", "7")


@pytest.mark.parametrize("header", [{"x:a": 1}, {"a": {"@xmlns": "u"}}, {"a": "\x00"}, {"a b": 1}])
def test_a_header_is_checked_when_it_is_loaded(header: Any) -> None:
    with pytest.raises(ValueError, match="namespaces|no name|not allow"):
        codec(header=header)


@pytest.mark.parametrize("value", [{"soap:Fault": 1}, {"@soap:actor": "x"}, {"a><b": 1}, {"a": "\x00"}, {"x:a": 1}])
def test_a_value_cannot_touch_the_envelope(value: Any) -> None:
    with pytest.raises(ValueError, match="namespaces|no name|not allow"):
        codec().encode(value)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("asked", VERSIONS)
def test_an_answer(version: str, asked: str) -> None:
    options = {"version": asked, "namespaces": {"m": "urn:stock"}, "types": {"m:price": "number"}, "lists": ("tag",)}
    answer = '<q:GetPriceResponse xmlns:q="urn:stock"><q:price>9.990</q:price><tag>x</tag></q:GetPriceResponse>'
    found = codec(**options).decode(envelope(answer, version, "<t:Id xmlns:t='urn:t'>1</t:Id>"), "text/xml")
    assert write(found) == b'{"m:price":9.990,"tag":["x"]}'


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("", None),
        ("  ", None),
        ("<r/>", None),
        ("<r>x</r>", "x"),
        ("<r><a/></r><r><a>2</a></r>", {"a": None}),
        ("<r href='#1'/><multiRef id='1'>x</multiRef>", {"@href": "#1"}),
        ("<r><Fault>x</Fault></r>", {"Fault": "x"}),
        ("<Fault xmlns='urn:else'>x</Fault>", "x"),
    ],
)
def test_what_the_body_holds(content: str, value: Any) -> None:
    assert codec().decode(envelope(content), "text/xml") == value
    assert codec(lists=("r",)).decode(envelope(content), "text/xml") == value


@pytest.mark.parametrize(
    "body",
    [
        b"<a/>",
        b"<Envelope><Body/></Envelope>",
        b'<Envelope xmlns="urn:else"><Body/></Envelope>',
        envelope("").replace(b"S:Body", b"S:Bodies"),
        b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/">text</S:Envelope>',
        b'<S:Body xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"/>',
    ],
)
def test_what_is_no_envelope(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a SOAP envelope with a Body") as caught:
        codec().decode(body, "text/xml")
    assert not isinstance(caught.value, ServiceFault)


def fault_1_1(code: str, reason: str = "no", detail: str = "") -> bytes:
    more = f"<detail>{detail}</detail>" if detail else ""
    return envelope(f"<S:Fault><faultcode>{code}</faultcode><faultstring>{reason}</faultstring>{more}</S:Fault>")


def fault_1_2(*codes: str, reason: str = "no", detail: str = "") -> bytes:
    nested = ""
    for code in reversed(codes[1:]):
        nested = f"<S:Subcode><S:Value>{code}</S:Value>{nested}</S:Subcode>"
    more = f"<S:Detail>{detail}</S:Detail>" if detail else ""
    text = f'<S:Text xml:lang="en">{reason}</S:Text><S:Text xml:lang="de">nein</S:Text>'
    whole = f"<S:Code><S:Value>{codes[0]}</S:Value>{nested}</S:Code><S:Reason>{text}</S:Reason>{more}"
    return envelope(f"<S:Fault>{whole}</S:Fault>", "1.2")


def fault(body: bytes, **options: Any) -> ServiceFault:
    with pytest.raises(ServiceFault) as caught:
        codec(**options).decode(body, "text/xml")
    return caught.value


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (fault_1_1("S:Client"), 422, "Client"),
        (fault_1_1(" S:Client.Authentication "), 422, "Client.Authentication"),
        (fault_1_1("Client"), 422, "Client"),
        (fault_1_1("S:Server"), 502, "Server"),
        (fault_1_1("S:MustUnderstand"), 502, "MustUnderstand"),
        (fault_1_1("S:VersionMismatch"), 502, "VersionMismatch"),
        (fault_1_1("m:OutOfStock"), 502, "OutOfStock"),
        (fault_1_1(""), 502, ""),
        (fault_1_2("S:Sender"), 422, "Sender"),
        (fault_1_2("S:Sender", "m:NotFound", "m:Symbol"), 422, "Sender.NotFound.Symbol"),
        (fault_1_2("S:Receiver", "m:Busy"), 502, "Receiver.Busy"),
        (fault_1_2("S:DataEncodingUnknown"), 502, "DataEncodingUnknown"),
        (envelope("<S:Fault/>"), 502, ""),
        (envelope("<S:Fault>text</S:Fault>"), 502, ""),
        (envelope("<S:Fault><S:Code>x</S:Code><S:Reason>y</S:Reason></S:Fault>", "1.2"), 502, ""),
    ],
)
def test_faults(body: bytes, status: int, code: str) -> None:
    found = fault(body)
    assert (found.status, found.code, found.detail) == (status, code, None)
    assert found.reason == ("no" if b"no<" in body else "")


FAULTS = {"NotFound": 404, "OutOfStock": 409, "Client.Authentication": 503, "Busy": 429, "Server": 500}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (fault_1_1("m:NotFound"), 404),
        (fault_1_1("S:Client.Authentication"), 503),
        (fault_1_1("S:Client.Other"), 422),
        (fault_1_1("S:Server"), 500),
        (fault_1_1("S:Server.Busy"), 429),
        (fault_1_1("S:Server", detail="<m:OutOfStock xmlns:m='urn:m'><m:left>0</m:left></m:OutOfStock>"), 409),
        (fault_1_1("S:Server", detail="<e:Stack xmlns:e='urn:e'>at x</e:Stack><e:NotFound xmlns:e='urn:e'/>"), 404),
        (fault_1_2("S:Sender", "m:NotFound"), 404),
        (fault_1_2("S:Receiver", "m:Busy", "m:Very"), 429),
        (fault_1_2("S:Sender", "m:Busy", detail="<OutOfStock/>"), 409),
    ],
)
def test_statuses_by_the_options(body: bytes, status: int) -> None:
    assert fault(body, faults=FAULTS, namespaces={"m": "urn:m"}).status == status


def test_a_stack_is_told_to_nobody() -> None:
    stack = "Server was unable to process request. --&gt; System.NullReferenceException\n  at Get()\n  at Main()"
    found = fault(fault_1_1("S:Server", stack, "<stackTrace>at com.example.Stock</stackTrace>"))
    assert found.reason == "Server was unable to process request. --> System.NullReferenceException"
    assert (found.detail, "com.example" in str(found)) == (None, False)
    assert len(fault(fault_1_1("S:Server", "x" * 10_000)).reason) == 500


def test_the_detail_by_option() -> None:
    detail = "<m:Missing xmlns:m='urn:m'><symbol>X</symbol><left>0.50</left></m:Missing>"
    for body in (fault_1_1("S:Client", detail=detail), fault_1_2("S:Sender", detail=detail)):
        found = fault(body, fault_detail=True, types={"left": "number"})
        assert write(found.detail) == b'{"Missing":{"symbol":"X","left":0.50}}'
    assert fault(fault_1_1("S:Client"), fault_detail=True).detail is None


@pytest.mark.parametrize(
    "options", [{"lists": ("faultcode", "detail", "faultstring")}, {"types": {"faultstring": "number"}}]
)
def test_options_that_name_what_is_in_a_fault(options: Any) -> None:
    body = fault_1_1("S:Client", "7", "<NotFound/>")
    assert fault(body, faults={"NotFound": 404}, **options).code == "Client"


def test_how_large_an_envelope_is() -> None:
    with pytest.raises(ValueError, match="longer than 1048576 bytes"):
        codec().encode({"a": "x" * (ONE_MIB - 100)})


SCALARS = st.text("abc<>&\"' é", min_size=1).filter(lambda text: text.strip() != "")


@settings(max_examples=20)
@given(st.dictionaries(st.sampled_from(["a", "b", "m:c"]), SCALARS, min_size=1), st.sampled_from(VERSIONS))
def test_what_goes_out_in_one_envelope_comes_back_in_another(value: Any, version: str) -> None:
    both = codec("m:Op", version=version, namespace="urn:a", namespaces={"m": "urn:m"})
    assert both.decode(*both.encode(value)) == value
