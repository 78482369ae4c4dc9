"""How answers are framed that have no body, or none of a known length."""

from __future__ import annotations

import pytest

from gateway.wire.head import RequestBlock, RequestHead, ResponseBlock, ResponseHead
from gateway.wire.response_text import unusual_framing
from gateway.wire.shapes import RESPONSES, request_policy

CHUNKED = b"Transfer-Encoding: chunked\r\n"


def asked(method: str = "GET", version: str = "1.1") -> RequestHead:
    return RequestHead(RequestBlock(request_policy(False).shape(()), [], version), method, "/", version)


def answer(status: int = 200, *fields: tuple[bytes, bytes], length: int | None = None) -> ResponseHead:
    shape = RESPONSES.shape([name for name, _ in fields])
    block = ResponseBlock(shape, [value for _, value in fields], status)
    block.length = length
    return ResponseHead(block)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("body", "ended", "sent"),
    [
        (b"", False, b""),
        (b"abc", False, b"3\r\nabc\r\n"),
        (b"", True, b"0\r\n\r\n"),
        (b"abc", True, b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
def test_unknown_length_goes_in_chunks(body: bytes, ended: bool, sent: bytes, keep: bool) -> None:
    pieces = [b"head"]
    framing = unusual_framing(answer(), asked(), pieces, body, ended, keep)
    assert framing == (sent, keep, True, False)
    assert pieces == [b"head", CHUNKED]


@pytest.mark.parametrize("request_head", [None, asked(version="1.0")])
@pytest.mark.parametrize("ended", [True, False])
def test_unknown_length_ends_with_the_connection_of_who_may_not_know_chunks(
    request_head: RequestHead | None, ended: bool
) -> None:
    pieces = [b"head"]
    assert unusual_framing(answer(), request_head, pieces, b"abc", ended, True) == (b"abc", False, False, False)
    assert pieces == [b"head"]


@pytest.mark.parametrize("keep", [True, False])
def test_known_length_needs_nothing_even_without_a_request(keep: bool) -> None:
    pieces = [b"head"]
    assert unusual_framing(answer(400, length=3), None, pieces, b"abc", True, keep) == (b"abc", keep, False, False)
    assert pieces == [b"head"]


@pytest.mark.parametrize(("status", "method"), [(200, "HEAD"), (304, "GET"), (304, "HEAD"), (404, "HEAD")])
@pytest.mark.parametrize("length", [None, 3])
@pytest.mark.parametrize("keep", [True, False])
def test_answer_without_a_body_tells_the_length_it_would_have(
    status: int, method: str, length: int | None, keep: bool
) -> None:
    head = answer(status, (b"Content-Length", b"3"), length=length)
    pieces = head.pieces()
    before = list(pieces)
    assert unusual_framing(head, asked(method), pieces, b"abc", False, keep) == (b"", keep, False, True)
    assert pieces == before


@pytest.mark.parametrize("request_head", [None, asked(), asked("HEAD"), asked(version="1.0")])
@pytest.mark.parametrize("dated", [True, False])
def test_204_has_no_length_and_one_date(request_head: RequestHead | None, dated: bool) -> None:
    """RFC 9110 §8.6"""
    own = [(b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT")] if dated else []
    head = answer(204, (b"Content-Length", b"0"), (b"X", b"1"), *own, length=0)
    pieces = head.pieces()
    assert unusual_framing(head, request_head, pieces, b"", True, True) == (b"", True, False, True)
    text = b"".join(pieces)
    assert text.startswith(b"HTTP/1.1 204 No Content\r\nX: 1\r\nDate: ")
    assert b"content-length" not in text.lower()
    assert (text.count(b"Date: "), b"1994" in text) == (1, dated)


def test_204_without_a_length_stays_as_it_is() -> None:
    pieces = [b"head"]
    assert unusual_framing(answer(204), asked(), pieces, b"", True, True) == (b"", True, False, True)
    assert pieces == [b"head"]
