"""Requests out of bytes, without a socket: every split of the bytes gives the same result."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Kind
from gateway.wire.request_parser import RequestParser
from gateway.wire.shapes import request_policy
from tests.support.gateways import request

Parsed = tuple[str, str, str, list[tuple[str, str]], bytes]


POLICY = request_policy(False)


def make_parser(head: int = 32 * 1024, fields: int = 128, body: int = 1 << 20) -> RequestParser:
    return RequestParser(POLICY, head, fields, body)


def read(parser: RequestParser, data: bytes) -> None:
    """As a connection does it: what was seen before is not parsed again."""
    if parser.head is not None or parser.read_known(data) is None:
        parser.feed(data)


def read_all(parser: RequestParser, pieces: list[bytes]) -> tuple[list[Parsed], Kind | None, bytes]:
    """As a connection does it: the requests, why the next was refused, and what is left."""
    found: list[Parsed] = []
    body = b""
    try:
        for piece in pieces:
            waiting = piece
            while waiting:
                read(parser, waiting)
                waiting = b""
                body += parser.take_body()
                if parser.head is not None and parser.complete:
                    head = parser.head
                    found.append((head.method, head.target, head.version, list(head.items()), body))
                    body = b""
                    waiting, parser.rest = parser.rest, b""
                    parser.next()
    except GatewayError as error:
        return found, error.kind, b""
    return found, None, body


def splits(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


BODIES = st.binary(max_size=60) | st.sampled_from(
    [b"\r\n\r\n", b"\r\n\r\n" * 5, b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\r"]
)
TOKENS = st.text("abcXYZ019-_%", min_size=1, max_size=8)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b"'])
TRAILERS = st.lists(st.sampled_from([b"T: 1\r\n", b"X-Late: abc\r\n"]), max_size=2).map(b"".join)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and how it goes over the wire."""
    pieces = draw(st.lists(BODIES.filter(bool), max_size=4))
    wire = b"".join(
        draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(piece) + draw(EXTENSIONS) + b"\r\n" + piece + b"\r\n"
        for piece in pieces
    )
    return b"".join(pieces), wire + b"0" + draw(EXTENSIONS) + b"\r\n" + draw(TRAILERS) + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Parsed]:
    """A good request, and what must be read of it."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]))
    target = "/" + draw(st.text("abc/%20?=&.;\\", max_size=12))
    extra = [(f"X-{name}", value.strip()) for name, value in draw(st.lists(st.tuples(TOKENS, VALUES), max_size=4))]
    fields = [("Host", "a.example"), *extra]
    lines = [f"{name}: {value}".encode("latin-1") for name, value in extra]
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    body = wire = b""
    if framing == "length":
        body = wire = draw(BODIES)
        lines.append(b"Content-Length: %d" % len(body))
        fields.append(("Content-Length", str(len(body))))
    elif framing == "chunked":
        body, wire = draw(chunked_bodies())
        lines.append(b"Transfer-Encoding: chunked")
    raw = request(target, *lines, method=method, host=b"a.example") + wire
    return raw, (method, target, "1.1", fields, body)


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 1 << 16), max_size=30))
def test_every_split_reads_the_same_requests(asked: list[tuple[bytes, Parsed]], cuts: list[int]) -> None:
    wire = b"".join(raw for raw, _ in asked)
    expected = [parsed for _, parsed in asked]

    assert read_all(make_parser(), [wire]) == (expected, None, b"")
    assert read_all(make_parser(), splits(wire, cuts)) == (expected, None, b"")
    assert read_all(make_parser(), [wire[at : at + 1] for at in range(len(wire))]) == (expected, None, b"")


JUNK = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\x00", b"0", b"Content-Length: 1\r\n", b"\x80", b";", b","]
)


@given(requests(), requests(), st.integers(0, 1 << 16), JUNK, st.lists(st.integers(0, 1 << 16), max_size=12))
def test_every_split_of_bad_bytes_has_the_same_outcome(
    first: tuple[bytes, Parsed], second: tuple[bytes, Parsed], place: int, junk: bytes, cuts: list[int]
) -> None:
    wire = first[0] + second[0]
    at = place % len(wire)
    wire = wire[:at] + junk + wire[at:]

    whole = read_all(make_parser(), [wire])
    split = read_all(make_parser(), splits(wire, cuts))

    assert whole[0] == split[0]
    assert (whole[1] is None) == (split[1] is None)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_no_bytes_make_anything_but_a_refusal(pieces: list[bytes]) -> None:
    read_all(make_parser(head=200), [piece for piece in pieces if piece])


@given(st.binary(max_size=40), st.integers(0, 200))
def test_no_target_makes_anything_but_a_refusal(noise: bytes, cut: int) -> None:
    wire = b"GET /" + noise + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    read_all(make_parser(), splits(wire, [cut]))


def test_rest_is_what_follows() -> None:
    parser = make_parser()
    parser.feed(request("/a", method="POST", body=b"abc") + b"GET /b")

    assert parser.head is not None
    assert (parser.complete, parser.take_body(), parser.rest) == (True, b"abc", b"GET /b")
    assert parser.take_body() == b""
    assert parser.received == 3

    parser.rest = b""
    parser.next()
    assert (parser.head, parser.complete, parser.begun) == (None, False, False)


def test_begun_is_from_the_first_byte() -> None:
    parser = make_parser()
    assert not parser.begun
    parser.feed(b"G")
    assert parser.begun
    assert parser.head is None


def test_crlfs_before_a_request_are_no_beginning() -> None:
    parser = make_parser()
    parser.feed(b"\r\n")
    assert not parser.begun
    parser.feed(request())
    assert parser.complete


@pytest.mark.parametrize("crlfs", [1, 2, 3])
def test_a_few_empty_lines_are_forgiven_in_every_split(crlfs: int) -> None:
    wire = b"\r\n" * crlfs + request()
    for cut in range(1, len(wire)):
        found, kind, _ = read_all(make_parser(), [wire[:cut], wire[cut:]])
        assert (len(found), kind) == (1, None), cut


def test_only_so_many_empty_lines() -> None:
    parser = make_parser()

    def drip() -> None:
        for _ in range(1000):
            parser.feed(b"\r\n")

    with pytest.raises(GatewayError):
        drip()


@pytest.mark.parametrize("known_before", [False, True])
@pytest.mark.parametrize("second", [b"Host: known", b"host: known", b"HOST: other"])
def test_second_host_is_refused_however_well_known(known_before: bool, second: bytes) -> None:
    if known_before:
        make_parser().feed(request(host=b"known"))
        make_parser().feed(request(host=b"other"))
    with pytest.raises(GatewayError, match="Host"):
        make_parser().feed(request("/", second, host=b"known"))


def test_repeated_fields_are_all_kept() -> None:
    parser = make_parser()
    parser.feed(request("/", b"X: 1", b"x: 2", b"X: 3", b"Y: 4", b"X: 3"))
    assert parser.head is not None
    assert list(parser.head.items()) == [("Host", "a"), ("X", "1"), ("x", "2"), ("X", "3"), ("Y", "4"), ("X", "3")]


def test_limit_of_fields_counts_repeated_ones() -> None:
    make_parser(fields=5).feed(request("/", *[b"X: 1"] * 4))
    with pytest.raises(GatewayError) as caught:
        make_parser(fields=5).feed(request("/", *[b"X: 1"] * 5))
    assert caught.value.kind is Kind.HEAD_TOO_LARGE


def test_limit_of_the_head_is_the_same_for_every_split() -> None:
    wire = request("/", b"X: " + b"a" * 100)
    for cut in range(1, len(wire)):
        assert read_all(make_parser(head=len(wire)), [wire[:cut], wire[cut:]])[1] is None
        assert read_all(make_parser(head=len(wire) - 1), [wire[:cut], wire[cut:]])[1] is Kind.HEAD_TOO_LARGE


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
@pytest.mark.parametrize("body", [b"", b"abc"])
def test_upgrade_is_an_ordinary_request(upgrade: bytes, body: bytes) -> None:
    wire = request("/", b"Connection: Upgrade", b"Upgrade: " + upgrade, method="POST", body=body) + request("/next")
    for cut in range(1, len(wire)):
        found, kind, _ = read_all(make_parser(), [wire[:cut], wire[cut:]])
        assert ([parsed[1] for parsed in found], found[0][4], kind) == (["/", "/next"], body, None)


@pytest.mark.parametrize("close", [b"Connection: close", b"X: y"])
def test_chunked_upgrade_is_an_ordinary_request(close: bytes) -> None:
    chunks = b"3\r\nabc\r\n0\r\n\r\n"
    fields = (b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: chunked", close)
    parser = make_parser()
    parser.feed(request("/", *fields, method="POST", body=chunks) + b"rest")
    assert (parser.complete, parser.take_body(), parser.rest) == (True, b"abc", b"rest")


def test_body_limit_counts_what_came() -> None:
    wire = request("/", b"Transfer-Encoding: chunked", method="POST") + b"4\r\nabcd\r\n4\r\nefgh\r\n0\r\n\r\n"
    assert read_all(make_parser(body=8), [wire])[1] is None
    assert read_all(make_parser(body=7), [wire])[1] is Kind.BODY_TOO_LARGE
    assert read_all(make_parser(body=7), [wire[at : at + 1] for at in range(len(wire))])[1] is Kind.BODY_TOO_LARGE
    assert read_all(make_parser(body=2), [request(method="POST", body=b"abc")])[1] is Kind.BODY_TOO_LARGE


def test_a_chunked_body_may_be_limited_further_while_it_comes() -> None:
    def chunks(*sizes: int) -> bytes:
        return b"".join(b"%x\r\n%b\r\n" % (size, bytes(size)) for size in sizes) + b"0\r\n\r\n"

    head = request("/", b"Transfer-Encoding: chunked", method="POST")
    parser = make_parser(body=100)
    parser.feed(head)
    assert parser.chunked_limit == 100
    parser.chunked_limit = 8
    parser.feed(chunks(4, 4))
    assert (parser.complete, len(parser.take_body())) == (True, 8)
    parser.next()
    parser.feed(head + chunks(50, 50))
    assert (parser.complete, parser.chunked_limit) == (True, 100), "the next request has the listener's limit"
    parser.next()
    parser.feed(head)
    parser.chunked_limit = 8
    with pytest.raises(GatewayError, match="limited to 8 bytes"):
        parser.feed(chunks(4, 5))


@pytest.mark.parametrize(
    "line", [b"GET /x#y", b"GET /\x01", b"GET //\xff", b"get /x", b"GET  /x", b"GET x", b"BREW /x", b"GET /\x7f"]
)
def test_fields_seen_before_do_not_vouch_for_the_request_line(line: bytes) -> None:
    good = request(host=b"seen.example")
    fields = good.partition(b"\r\n")[2]
    make_parser().feed(good)
    assert make_parser().read_known(good) is not None
    for version in (b" HTTP/1.1", b" HTTP/1.1 ", b" HTTP/1.2", b"\tHTTP/1.1", b""):
        with pytest.raises(GatewayError):
            read(make_parser(), line + version + b"\r\n" + fields)


def test_head_seen_before_is_held_against_this_listeners_limits() -> None:
    wire = request("/x", *[b"X: 1"] * 20)
    make_parser().feed(wire)
    for parser, kind in (
        (make_parser(head=len(wire) - 1), "head_too_large"),
        (make_parser(fields=20), "head_too_large"),
    ):
        with pytest.raises(GatewayError, match=kind):
            read(parser, wire)


def test_edits_do_not_reach_the_next_request_with_the_same_fields() -> None:
    wire = request("/x", b"X: 1")
    for _ in range(3):
        parser = make_parser()
        read(parser, wire)
        assert parser.head is not None
        assert list(parser.head.items()) == [("Host", "a"), ("X", "1")]
        parser.head.set("X", "2")
        parser.head.remove("X")
        parser.head.add("Y", "3")


def test_after_a_switch_all_bytes_are_a_body() -> None:
    parser = make_parser(body=3)
    parser.feed(request("/x", b"Connection: Upgrade", b"Upgrade: websocket") + b"early")
    assert (parser.complete, parser.take_body()) == (True, b"")
    assert parser.switch() == b"early"
    parser.feed(request("/y"))
    parser.feed(b"\r\n\r\n")
    assert parser.take_body() == request("/y") + b"\r\n\r\n"
    assert (parser.complete, parser.rest) == (False, b"")
