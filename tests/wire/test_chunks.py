"""Where a chunked body ends: the same in every split, and where httptools finds it."""

from __future__ import annotations

import itertools

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire.chunks import LINE_LIMIT, ChunkMap

DATA = st.binary(min_size=1, max_size=40) | st.sampled_from(
    [b"\r\n\r\n", b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"\n", b"\r", b"5\r\nabc", b"x" * 300]
)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b;0"', b";a=1;b=2"])
TRAILERS = st.lists(st.sampled_from([b"T: 1\r\n", b"X-Late:\r\n", b"T: 0\r\n", b"A: 5;b\r\n"]), max_size=3).map(
    b"".join
)
AFTER = st.sampled_from([b"", b"\r\n", b"\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
CUTS = st.lists(st.integers(0, 1 << 16), max_size=20)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A good chunked body as it goes over the wire."""
    sizes = st.sampled_from([b"%x", b"%X", b"000%x"])
    chunks = [draw(sizes) % len(data) + draw(EXTENSIONS) + b"\r\n" + data + b"\r\n" for data in draw(st.lists(DATA))]
    last = draw(st.sampled_from([b"0", b"0000"])) + draw(EXTENSIONS)
    return b"".join(chunks) + last + b"\r\n" + draw(TRAILERS) + b"\r\n"


def splits(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


def mapped_end(pieces: list[bytes]) -> int:
    """The end in all of the pieces, -1 without one. Like the parsers, it stops at the end."""
    chunks = ChunkMap()
    before = 0
    for piece in pieces:
        end = chunks.find_end(piece)
        if end >= 0:
            return before + end
        before += len(piece)
    return -1


class Completed:
    """Is told by httptools of the end."""

    def __init__(self) -> None:
        self.over = False

    def on_message_complete(self) -> None:
        self.over = True


def oracle_end(wire: bytes) -> int:
    """After how many bytes httptools has seen the end; -1 when there is none or the bytes are malformed."""
    seen = Completed()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for at in range(len(wire)):
        try:
            parser.feed_data(wire[at : at + 1])
        except httptools.HttpParserError:
            return -1
        if seen.over:
            return at + 1
    return -1


@given(bodies(), AFTER, CUTS)
def test_every_split_has_the_same_end(body: bytes, after: bytes, cuts: list[int]) -> None:
    wire = body + after
    assert mapped_end([wire]) == len(body)
    assert mapped_end(splits(wire, cuts)) == len(body)
    assert mapped_end([wire[at : at + 1] for at in range(len(wire))]) == len(body)


@given(bodies(), st.integers(1, 1 << 16), CUTS)
def test_a_body_that_is_cut_short_has_no_end(body: bytes, short: int, cuts: list[int]) -> None:
    cut = body[: -(short % len(body)) or len(body) - 1]
    assert mapped_end([cut]) == -1
    assert mapped_end(splits(cut, cuts)) == -1


@given(bodies(), AFTER)
def test_httptools_finds_the_same_end(body: bytes, after: bytes) -> None:
    assert oracle_end(body + after) == len(body)


JUNK = st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b"0", b";", b"a", b":", b"\x00", b"0\r\n\r\n", b"\x0b"])


@given(bodies(), st.integers(0, 1 << 16), JUNK, CUTS)
@example(b"1\r\na\r\n0\r\n\r\n", 1, b" ", [])
def test_no_bytes_that_httptools_lets_pass_are_read_in_another_way(
    body: bytes, place: int, junk: bytes, cuts: list[int]
) -> None:
    at = place % len(body)
    wire = body[:at] + junk + body[at:]
    end = oracle_end(wire)
    if end >= 0:
        assert mapped_end([wire]) == end
        assert mapped_end(splits(wire, cuts)) == end


NO_NUMBERS = [b"", b"g", b"-", b"+", b";a", b" ", b"0x", b"5 5", b"\xff", b"1.0", b"abc:", b"5\r", b"0" * 17]
# int() reads these: below nought the walk would go backwards, and round and round.
NUMBERS_OF_PYTHON = [b"-1", b"-2", b"-6", b"-6;a=b", b"-0", b"+5", b"0x5", b"1_0", b" 5", b"5 ", b"\x0b5"]


@pytest.mark.parametrize("line", [*NO_NUMBERS, *NUMBERS_OF_PYTHON])
@pytest.mark.parametrize("before", [b"", b"3\r\nabc\r\n"])
def test_size_that_is_no_number(line: bytes, before: bytes) -> None:
    end = b"\r\n" + b"x" * 40
    for wire in ([before + line + end], [before, line, end], [before + line + end[:1], end[1:]]):
        with pytest.raises(ValueError, match="hexadecimal digits"):
            mapped_end(wire)


def test_size_of_any_body_that_can_be_is_read() -> None:
    chunks = ChunkMap()
    assert chunks.find_end(b"7FFFFFFFFFFFFFFF\r\n" + b"0\r\n\r\n" * 1000) == -1


@pytest.mark.parametrize("before", [b"", b"1\r\na\r\n", b"0\r\n", b"0\r\nT: 1\r\n"])
@pytest.mark.parametrize("step", [1000, LINE_LIMIT * 2])
def test_line_without_end_is_refused(before: bytes, step: int) -> None:
    chunks = ChunkMap()
    chunks.find_end(before)
    for _ in range(LINE_LIMIT // step):
        assert chunks.find_end(b"1" * step) == -1
    with pytest.raises(ValueError, match="line without end"):
        chunks.find_end(b"1" * step)


@pytest.mark.parametrize("before", [b"", b"0\r\n"])
def test_line_at_the_limit_passes(before: bytes) -> None:
    chunks = ChunkMap()
    assert chunks.find_end(before) == -1
    assert chunks.find_end(b"0;".ljust(LINE_LIMIT, b"a")) == -1
    assert chunks.find_end(b"\r\n\r\n") == 4
