"""What is refused of a request's head, and what the rest of it settles."""

from __future__ import annotations

import httptools
import pytest

from gateway.errors import GatewayError, Kind
from gateway.wire.head import RequestBlock, RequestHead
from gateway.wire.request_checks import (
    METHODS,
    check_host,
    examine,
    plain_target,
    refusal,
    request_line,
    take_absolute,
)
from gateway.wire.shapes import request_policy

POLICY = request_policy(False)


def block_of(*lines: bytes, version: str = "1.1") -> RequestBlock:
    fields = [line.split(b": ", 1) for line in lines]
    return RequestBlock(POLICY.shape([name for name, _ in fields]), [value for _, value in fields], version)


def examined(*lines: bytes, version: str = "1.1") -> RequestBlock:
    return examine(block_of(*lines, version=version), version, POLICY)


@pytest.mark.parametrize("method", [name.decode() for name in METHODS])
@pytest.mark.parametrize("target", ["/", "/a%20b?x=/", "//a", "/~!$&'()*+,;=:@\"<>[]{}|\\^`"])
def test_plain_target(method: str, target: str) -> None:
    assert plain_target(f"{method} {target} HTTP/1.1\r\n".encode()) == (method, target)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.0\r\n",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET / x HTTP/1.1\r\n",
        b"GET /\tHTTP/1.1\r\n",
        b"get / HTTP/1.1\r\n",
        b"BREW / HTTP/1.1\r\n",
        b"CONNECT / HTTP/1.1\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"GET * HTTP/1.1\r\n",
        b"GET http://a/ HTTP/1.1\r\n",
        b"GET  HTTP/1.1\r\n",
        b"GET /#x HTTP/1.1\r\n",
        b"GET /\x00 HTTP/1.1\r\n",
        b"GET /\x7f HTTP/1.1\r\n",
        b"GET /\xe9 HTTP/1.1\r\n",
        b"",
    ],
)
def test_line_that_is_left_to_the_parser(line: bytes) -> None:
    assert plain_target(line) is None


@pytest.mark.parametrize(
    ("whole", "kind"),
    [
        (b"BREW /x HTTP/1.1\r\n", Kind.UNKNOWN_METHOD),
        (b"\r\nBREW /x HTTP/1.1\r\n", Kind.UNKNOWN_METHOD),
        (b"\x16\x03\x01\x02\x00\x01", Kind.BAD_REQUEST),
        (b"B(EW /x HTTP/1.1\r\n", Kind.BAD_REQUEST),
        (b"GET /x HTTP/3.7\r\n", Kind.UNSUPPORTED_VERSION),
        (b"GET /\x01 HTTP/1.1\r\n", Kind.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nA B: c\r\n", Kind.BAD_REQUEST),
    ],
)
def test_refusal_of_what_httptools_does_not_take(whole: bytes, kind: Kind) -> None:
    with pytest.raises(httptools.HttpParserError) as caught:
        httptools.HttpRequestParser(object()).feed_data(whole)
    error = refusal(caught.value, whole)
    assert error.kind is kind
    assert ("TLS" in str(error.detail)) is (whole[:1] == b"\x16")


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (b"PURGE /x HTTP/1.1\r\nA: b\r\n\r\n", (b"PURGE", "1.1")),
        (b"GET /x HTTP/1.0\r\n\r\n", (b"GET", "1.0")),
        (b"\r\n\r\nGET /x HTTP/1.1\r\n\r\n", (b"GET", "1.1")),
        (b"GET /x HTTP/2.0\r\n\r\n", Kind.UNSUPPORTED_VERSION),
        (b"GET /x HTTP/0.9\r\n\r\n", Kind.UNSUPPORTED_VERSION),
        (b"GET /x\r\n\r\n", Kind.UNSUPPORTED_VERSION),
        (b"GET /x HTTP/1.1 \r\n\r\n", Kind.BAD_REQUEST),
        (b"GET  /x HTTP/1.1\r\n\r\n", Kind.BAD_REQUEST),
        (b"GET /x  HTTP/1.1\r\n\r\n", Kind.BAD_REQUEST),
        (b"GET /x ICE/1.0\r\n\r\n", Kind.BAD_REQUEST),
        (b"GET /y HTTP/1.1\r\n\r\n", Kind.BAD_REQUEST),
    ],
)
def test_request_line(whole: bytes, expected: tuple[bytes, str] | Kind) -> None:
    if not isinstance(expected, Kind):
        assert request_line(whole, b"/x") == expected
        return
    with pytest.raises(GatewayError) as caught:
        request_line(whole, b"/x")
    assert caught.value.kind is expected


@pytest.mark.parametrize(
    ("lines", "chunked", "length"),
    [
        ((), False, None),
        ((b"Content-Length: 0",), False, 0),
        ((b"Content-Length: \t12 ",), False, 12),
        ((b"Transfer-Encoding: chunked",), True, None),
        ((b"transfer-encoding:  CHUNKED\t",), True, None),
    ],
)
def test_framing(lines: tuple[bytes, ...], chunked: bool, length: int | None) -> None:
    block = examined(*lines)
    assert (block.chunked, block.content_length) == (chunked, length)


@pytest.mark.parametrize(
    ("lines", "version", "kind"),
    [
        ((b"Content-Length: 1", b"content-length: 1"), "1.1", Kind.BAD_REQUEST),
        ((b"Content-Length: 1", b"Transfer-Encoding: chunked"), "1.1", Kind.BAD_REQUEST),
        ((b"Transfer-Encoding: chunked",), "1.0", Kind.BAD_REQUEST),
        ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), "1.1", Kind.BAD_REQUEST),
        ((b"Transfer-Encoding: gzip, chunked",), "1.1", Kind.UNKNOWN_CODING),
        ((b"Transfer-Encoding: chunked, identity",), "1.1", Kind.UNKNOWN_CODING),
        ((b"Transfer-Encoding: \x0bchunked",), "1.1", Kind.UNKNOWN_CODING),
        ((b"Transfer-Encoding: ",), "1.1", Kind.UNKNOWN_CODING),
        ((b"Authorization: Bearer a", b"authorization: Bearer b"), "1.1", Kind.BAD_REQUEST),
        ((b"Authorization: Bearer a", b"AUTHORIZATION: Bearer a"), "1.0", Kind.BAD_REQUEST),
        ((b"Authorization: ", b"Authorization: "), "1.1", Kind.BAD_REQUEST),
        ((b"Connection: authorization", b"Authorization: a", b"Authorization: b"), "1.1", Kind.BAD_REQUEST),
        ((b"Expect: 200-ok",), "1.1", Kind.EXPECTATION_FAILED),
        ((b"Expect: 100-continue", b"Expect: x"), "1.1", Kind.EXPECTATION_FAILED),
    ],
)
def test_fields_that_are_refused(lines: tuple[bytes, ...], version: str, kind: Kind) -> None:
    with pytest.raises(GatewayError) as caught:
        examined(*lines, version=version)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("lines", "version", "keep_alive"),
    [
        ((), "1.1", True),
        ((b"Connection: close",), "1.1", False),
        ((b"Connection: Close",), "1.1", False),
        ((b"Connection: x, CLOSE",), "1.1", False),
        ((b"Connection: x", b"Connection: close"), "1.1", False),
        ((b"Connection: ",), "1.1", True),
        ((), "1.0", False),
        ((b"Connection: x",), "1.0", False),
        ((b"Connection: keep-alive",), "1.0", True),
        ((b"Connection: keep-alive, close",), "1.0", False),
    ],
)
def test_keep_alive(lines: tuple[bytes, ...], version: str, keep_alive: bool) -> None:
    assert examined(*lines, version=version).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("lines", "version", "expects"),
    [
        ((b"Expect: 100-continue", b"Content-Length: 3"), "1.1", True),
        ((b"expect: 100-Continue", b"Transfer-Encoding: chunked"), "1.1", True),
        ((b"Expect: 100-continue",), "1.1", False),
        ((b"Expect: 100-continue", b"Content-Length: 0"), "1.1", False),
        ((b"Expect: 100-continue", b"Content-Length: 3"), "1.0", False),
        ((b"Content-Length: 3",), "1.1", False),
    ],
)
def test_expectation(lines: tuple[bytes, ...], version: str, expects: bool) -> None:
    assert examined(*lines, version=version).expects_continue is expects


def test_fields_that_connection_names_are_hidden_but_not_what_steers_the_message() -> None:
    names = b"x-hop, Host, content-length, expect, keep-alive, close, x-none"
    block = examined(b"Host: a", b"X-Hop: 1", b"Connection: " + names, b"Content-Length: 3", b"X: 2")
    assert block.text == b"Host: a\r\nContent-Length: 3\r\nX: 2\r\n"
    assert (block.content_length, block.keep_alive, block.count) == (3, False, 5)


def test_fields_hidden_once_are_not_hidden_for_the_next_of_the_same_names() -> None:
    assert examined(b"X-Hop: 1", b"Connection: x-hop").text == b""
    assert examined(b"X-Hop: 1", b"Connection: x-other").text == b"X-Hop: 1\r\n"


@pytest.mark.parametrize(
    "host",
    ["a", "a.example:8080", "A-b_c.d~e", "127.0.0.1", "[::1]", "[::1]:80", "xn--caf-dma.example", "a:", "10.0.0.1:1"],
)
def test_good_host(host: str) -> None:
    block = block_of(b"Host:  %b\t" % host.encode())
    check_host(block, "1.1")
    assert (block.host, block.host_field) == (host, host.encode())


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"Host: a", b"host: a"),
        *(
            (b"Host: " + host,)
            for host in (b"", b"a b", b"a, b", b"a/b", b"u@a", b"a:x", b"a:123456", b"[::1", b"\xe9")
        ),
    ],
)
def test_bad_host(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(GatewayError, match="bad_request"):
        check_host(block_of(*lines), "1.1")


def test_http_1_0_needs_no_host() -> None:
    block = block_of(version="1.0")
    check_host(block, "1.0")
    assert (block.host, block.host_field) == ("", b"")


def absolute(target: str, *lines: bytes, version: str = "1.1") -> RequestHead:
    block = block_of(*lines, version=version)
    check_host(block, version)
    head = RequestHead(block, "GET", target, version, b"GET %b HTTP/1.1\r\n" % target.encode())
    take_absolute(head)
    return head


@pytest.mark.parametrize(
    ("target", "rest"),
    [
        ("http://a.example/x?y", "/x?y"),
        ("HTTPS://A.example/", "/"),
        ("http://a.example", "/"),
        ("http://a.example?y=/z", "/?y=/z"),
        ("http://a.example//b", "//b"),
    ],
)
def test_absolute_target(target: str, rest: str) -> None:
    head = absolute(target, b"Host: a.example")
    assert (head.target, head.line, head.block.host.lower()) == (rest, None, "a.example")


def test_absolute_target_in_http_1_0_names_the_host() -> None:
    head = absolute("http://b.example:8/x", version="1.0")
    assert (head.target, head.block.host, head.block.host_field) == ("/x", "b.example:8", b"b.example:8")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://b/x", b"a"),
        ("http://a:80/x", b"a"),
        ("http://u@a/x", b"a"),
        ("ftp://a/x", b"a"),
        ("a:80", b"a"),
        ("x", b"a"),
        ("http:///x", b"a"),
    ],
)
def test_absolute_target_that_is_refused(target: str, host: bytes) -> None:
    with pytest.raises(GatewayError, match="bad_request"):
        absolute(target, b"Host: " + host)


@pytest.mark.parametrize("target", ["http://u@a/x", "http:///x", "http://a:x/"])
def test_absolute_target_of_a_malformed_host_is_refused_without_a_host_field(target: str) -> None:
    with pytest.raises(GatewayError, match="bad_request"):
        absolute(target, version="1.0")


@pytest.mark.parametrize("connection", [b"Connection: x", b"Connection: authorization"])
def test_one_authorization_is_fine(connection: bytes) -> None:
    head = RequestHead(examined(b"Authorization: Bearer a", connection), "GET", "/", "1.1")
    assert head.get_all("authorization") == ([] if b"auth" in connection else ["Bearer a"])
