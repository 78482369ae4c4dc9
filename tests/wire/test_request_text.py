"""A request written out for the upstream."""

from __future__ import annotations

import pytest

from gateway.wire.client_stream import ClientStream
from gateway.wire.head import RequestHead
from gateway.wire.request_parser import RequestParser
from gateway.wire.request_text import forwarded_lines, request_text
from gateway.wire.shapes import request_policy
from tests.support.gateways import make_settings, request


def parsed(raw: bytes, trusted: bool = False) -> RequestHead:
    parser = RequestParser(request_policy(trusted), 4096, 50, 1000)
    parser.feed(raw)
    assert parser.head is not None
    return parser.head


def client(trusted: bool) -> ClientStream:
    stream = ClientStream(make_settings(scheme="https"))
    stream.trusted, stream.peer = trusted, "1.2.3.4"
    stream.forwarded = b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: "
    return stream


@pytest.mark.parametrize(
    ("target", "host", "first"),
    [
        ("/x", None, b"GET /x HTTP/1.1\r\nHost: a\r\nX: 1\r\nVia: v\r\n\r\n"),
        ("/y?z", None, b"GET /y?z HTTP/1.1\r\nHost: a\r\nX: 1\r\nVia: v\r\n\r\n"),
        ("/x", "b", b"GET /x HTTP/1.1\r\nHost: b\r\nX: 1\r\nVia: v\r\n\r\n"),
        ("/x", "", b"GET /x HTTP/1.1\r\nHost: e:1\r\nX: 1\r\nVia: v\r\n\r\n"),
    ],
)
def test_head(target: str, host: str | None, first: bytes) -> None:
    assert request_text(parsed(request("/x", b"X: 1")), target, host, "e:1", b"Via: v\r\n", b"", True, False) == first


def test_http_1_0_goes_on_as_1_1() -> None:
    head = parsed(request("/x", host=None, version="1.0"))
    assert request_text(head, "/x", None, "b", b"", b"", True, False) == b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "ended", "tail"),
    [
        (b"", False, b"\r\n\r\n"),
        (b"", True, b"\r\n\r\n0\r\n\r\n"),
        (b"abc", False, b"\r\n\r\n3\r\nabc\r\n"),
        (b"abc", True, b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ],
)
def test_chunked(body: bytes, ended: bool, tail: bytes) -> None:
    head = parsed(request("/x", b"Transfer-Encoding: chunked", method="POST"))
    text = request_text(head, "/x", None, "e:1", b"", body, ended, True)
    assert text == b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked" + tail


def test_length() -> None:
    head = parsed(request("/x", method="POST", body=b"abc"))
    text = request_text(head, "/x", None, "e:1", b"", b"ab", False, False)
    assert text == b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"


def test_untrusted_peer() -> None:
    head = parsed(request("/x", b"X-Forwarded-For: 9.9.9.9"))
    lines = forwarded_lines(client(False), head, False)
    assert lines == client(False).forwarded + b"a\r\n"
    assert forwarded_lines(client(False), head, True) == b"Forwarded: for=1.2.3.4;host=a;proto=https\r\n"
    assert b"9.9.9.9" not in head.text()


def test_trusted_peer() -> None:
    fields = (b"X-Forwarded-For: 9.9.9.9", b"Forwarded: for=8.8.8.8", b"x-forwarded-for: 7.7.7.7")
    head = parsed(request("/x", *fields), trusted=True)
    assert forwarded_lines(client(True), head, False) == (
        b"X-Forwarded-For: 9.9.9.9, 7.7.7.7, 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n"
    )
    assert head.text() == b"Host: a\r\n"
    again = parsed(request("/x", *fields), trusted=True)
    assert forwarded_lines(client(True), again, True) == (b"Forwarded: for=8.8.8.8, for=1.2.3.4;host=a;proto=https\r\n")
