"""Responses out of bytes, without a socket: every split of the bytes gives the same result."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Kind
from gateway.wire.response_parser import ResponseParser, SwitchedProtocols

Fields = list[tuple[str, str]]
Parsed = tuple[list[tuple[int, Fields]], int, Fields, bytes, bool, bool]


def read(parser: ResponseParser, pieces: list[bytes], eof: bool = False) -> tuple[Any, ...] | Kind:
    """Interim heads, status, fields, body, whether it is complete, whether more came."""
    body = b""
    interim: list[tuple[int, Fields]] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            interim += [(head.status, list(head.items())) for head in parser.interim or ()]
            parser.interim = []
            body += parser.take_body()
        if eof:
            parser.feed_eof()
    except GatewayError as error:
        return error.kind
    head = parser.head
    if head is None:
        return interim, None, None, body, parser.complete, parser.surplus
    return interim, head.status, list(head.items()), body, parser.complete, parser.surplus


def splits(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


BODIES = st.binary(max_size=50) | st.sampled_from([b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"0\r\n\r\n"])
NAMES = st.text("abcXYZ019-_%", min_size=1, max_size=8)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12)
FIELDS = st.lists(st.tuples(NAMES.map("X-{}".format), VALUES.map(str.strip)), max_size=4)


def block(fields: Fields) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, Parsed, bool]:
    """A good response, what must be read of it, and whether it ends with the connection."""
    interim = draw(st.lists(st.tuples(st.sampled_from([100, 102, 103]), FIELDS), max_size=3))
    wire = b"".join(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, block(fields)) for status, fields in interim)
    fields = draw(FIELDS)
    status = draw(st.sampled_from([200, 201, 404, 500, 599]))
    framing = draw(st.sampled_from(["length", "chunked", "eof", "none"]))
    body = draw(BODIES)
    if framing == "none":
        status, body, coded = draw(st.sampled_from([204, 304])), b"", b""
    elif framing == "length":
        fields = [*fields, ("Content-Length", str(len(body)))]
        coded = body
    elif framing == "chunked":
        pieces = draw(st.lists(BODIES.filter(bool), max_size=4))
        body = b"".join(pieces)
        coded = b"".join(b"%x;e\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nT: 1\r\n\r\n"
    else:
        coded = body
    extra = b"Transfer-Encoding: chunked\r\n" if framing == "chunked" else b""
    wire += b"HTTP/1.1 %d Some Reason\r\n%b%b\r\n%b" % (status, block(fields), extra, coded)
    return wire, (interim, status, fields, body, True, False), framing == "eof"


@given(st.lists(responses(), min_size=1, max_size=3), st.lists(st.integers(0, 1 << 16), max_size=20))
def test_every_split_reads_the_same_responses(sent: list[tuple[bytes, Parsed, bool]], cuts: list[int]) -> None:
    """One connection, one response after the other, until one that ends with the connection."""
    whole, split, single = ResponseParser(4096), ResponseParser(4096), ResponseParser(4096)
    for wire, expected, eof in sent:
        for parser in (whole, split, single):
            parser.next(False)
        assert read(whole, [wire], eof) == expected
        assert read(split, splits(wire, cuts), eof) == expected
        assert read(single, [wire[at : at + 1] for at in range(len(wire))], eof) == expected
        if eof:
            break


@given(responses(), st.sampled_from([b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200", b"\x00"]))
def test_surplus_is_seen(sent: tuple[bytes, Parsed, bool], more: bytes) -> None:
    wire, expected, eof = sent
    if eof:
        return
    parser = ResponseParser(4096)
    assert read(parser, [wire + more]) == (*expected[:5], True)


JUNK = st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b":", b"\x00", b"0", b"Content-Length: 1\r\n", b";", b","])


@given(responses(), st.integers(0, 1 << 16), JUNK, st.lists(st.integers(0, 1 << 16), max_size=12))
def test_every_split_of_bad_bytes_has_the_same_outcome(
    sent: tuple[bytes, Parsed, bool], place: int, junk: bytes, cuts: list[int]
) -> None:
    wire, _, eof = sent
    at = place % (len(wire) + 1)
    wire = wire[:at] + junk + wire[at:]

    whole = read(ResponseParser(4096), [wire], eof)
    split = read(ResponseParser(4096), splits(wire, cuts), eof)

    if isinstance(whole, Kind) or isinstance(split, Kind):
        assert whole == split
    else:
        assert whole[:5] == split[:5]


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_no_bytes_make_anything_but_a_refusal(pieces: list[bytes]) -> None:
    read(ResponseParser(200), [piece for piece in pieces if piece], eof=True)


@given(responses(), st.integers(0, 1 << 16))
def test_body_cut_short_is_never_complete(sent: tuple[bytes, Parsed, bool], place: int) -> None:
    wire, _, eof = sent
    if eof:
        return
    found = read(ResponseParser(4096), [wire[: place % len(wire)]], eof=True)
    assert isinstance(found, tuple)
    assert not found[4]


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_keep_alive(head: bytes, keep_alive: bool) -> None:
    for pieces in ([head], [head[:3], head[3:]], [head[:-1], head[-1:]]):
        parser = ResponseParser(4096)
        for piece in pieces:
            parser.feed(piece)
        assert parser.head is not None
        assert parser.head.block.keep_alive is keep_alive


@pytest.mark.parametrize("field", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_answer_to_head_is_over_with_its_head(field: bytes) -> None:
    wire = b"HTTP/1.1 200 OK\r\n" + field + b"\r\n"
    for cut in range(1, len(wire)):
        parser = ResponseParser(4096)
        parser.next(True)
        assert read(parser, [wire[:cut], wire[cut:]])[3:] == (b"", True, False)  # type: ignore[index]
        parser.next(False)
        assert read(parser, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])[3:] == (b"ok", True, False)  # type: ignore[index]


def test_body_of_an_answer_to_head_is_surplus() -> None:
    parser = ResponseParser(4096)
    parser.next(True)
    assert read(parser, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])[3:] == (b"", True, True)  # type: ignore[index]


def test_begun_is_from_the_first_byte() -> None:
    parser = ResponseParser(4096)
    assert not parser.begun
    parser.feed(b"H")
    assert parser.begun


def test_connection_may_not_take_away_what_frames() -> None:
    parser = ResponseParser(4096)
    parser.feed(b"HTTP/1.1 200 OK\r\nConnection: content-length, x\r\nContent-Length: 2\r\nX: 1\r\n\r\nok")
    assert parser.head is not None
    assert list(parser.head.items()) == [("Content-Length", "2")]
    assert parser.complete


@pytest.mark.parametrize("status", [200, 204, 304])
@pytest.mark.parametrize("bodyless", [[True, False], [False, True], [False, False]])
def test_head_that_comes_again_is_read_the_same(status: int, bodyless: list[bool]) -> None:
    head = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n" % status
    parser = ResponseParser(4096)
    for without in bodyless * 2:
        parser.next(without)
        body = b"" if without or status != 200 else b"ok"
        assert read(parser, [head + body])[3:] == (body, True, False)  # type: ignore[index]


def test_edits_do_not_reach_the_next_response_with_the_same_head() -> None:
    wire = b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 0\r\n\r\n"
    parser = ResponseParser(4096)
    for _ in range(3):
        parser.next(False)
        parser.feed(wire)
        assert parser.head is not None
        assert list(parser.head.items()) == [("X", "1"), ("Content-Length", "0")]
        parser.head.set("X", "2")
        parser.head.status = 500


def test_known_head_is_held_against_this_upstreams_limit() -> None:
    wire = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500 + b"\r\nContent-Length: 0\r\n\r\n"
    ResponseParser(4096).feed(wire)
    with pytest.raises(GatewayError, match="upstream_head_too_large"):
        ResponseParser(300).feed(wire)


@given(st.lists(st.integers(0, 300), max_size=6), st.sampled_from([b"", b"\x81\x00", b"HTTP/1.1 200 OK\r\n\r\n"]))
def test_what_follows_a_101_is_a_body_without_an_end(cuts: list[int], rest: bytes) -> None:
    head = b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-A: b\r\n\r\n"
    parser = ResponseParser(4096)
    switched, body = 0, b""
    for piece in splits(b"HTTP/1.1 103 Early\r\n\r\n" + head + rest, cuts):
        if not piece:
            continue
        try:
            parser.feed(piece)
        except SwitchedProtocols:
            switched += 1
        body += parser.take_body()
    assert (switched, body, parser.complete, len(parser.interim)) == (1, rest, False, 1)
    assert parser.head is not None
    assert (parser.head.status, list(parser.head.items())) == (101, [("X-A", "b")])
    parser.feed_eof()
    assert parser.complete


def test_a_101_without_a_word_of_an_upgrade_is_malformed() -> None:
    assert read(ResponseParser(4096), [b"HTTP/1.1 101 Yes\r\n\r\n"]) is Kind.UPSTREAM_MALFORMED
