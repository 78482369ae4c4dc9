"""The Head seam: read by name, edited, and written out again."""

from __future__ import annotations

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import make_exchange
from gateway.wire.head import RequestBlock, RequestHead, ResponseBlock, ResponseHead, status_line
from gateway.wire.shapes import RESPONSES, HeaderPolicy, request_policy

KEEP_ALL = HeaderPolicy(())


def make(*fields: tuple[bytes, bytes], policy: HeaderPolicy = KEEP_ALL) -> ResponseHead:
    names = tuple(name for name, _ in fields)
    return ResponseHead(ResponseBlock(policy.shape(names), [value for _, value in fields], 200))


THREE = ((b"X-A", b"1"), (b"x-b", b"2"), (b"x-a", b"3"))


def test_reads_by_name_in_any_case() -> None:
    head = make(*THREE)
    assert (head.get("X-a"), head.get("X-B"), head.get("none"), head.get("none", "d")) == ("1", "2", None, "d")
    assert head.get_all("x-A") == ["1", "3"]
    assert list(head.items()) == [("X-A", "1"), ("x-b", "2"), ("x-a", "3")]
    assert head.text() == b"X-A: 1\r\nx-b: 2\r\nx-a: 3\r\n"


def test_edits() -> None:
    head = make(*THREE)
    head.set("x-a", "9")
    head.add("X-A", "10")
    assert head.get("x-a") == "9"
    assert head.get_all("x-a") == ["9", "10"]
    assert head.text() == b"x-b: 2\r\nx-a: 9\r\nX-A: 10\r\n"
    head.remove("X-a")
    assert head.get("x-a") is None
    assert head.text() == b"x-b: 2\r\n"
    head.remove("x-a")
    head.remove("x-b")
    assert head.text() == b""


def test_heads_of_one_shape_do_not_share_edits() -> None:
    first, second = make(*THREE), make(*THREE)
    first.remove("x-a")
    first.set("x-b", "9")
    assert second.text() == b"X-A: 1\r\nx-b: 2\r\nx-a: 3\r\n"


def test_dropped_fields_cannot_be_seen() -> None:
    head = make((b"Connection", b"x"), (b"X-A", b"1"), policy=RESPONSES)
    assert head.get("connection") is None
    assert list(head.items()) == [("X-A", "1")]
    assert head.block.telling(b"connection") == [b"x"]


NAMES = st.sampled_from(["X-A", "x-a", "X-B", "x-b", "X-C", "Date"])
EDITS = st.lists(st.tuples(st.sampled_from(["add", "set", "remove"]), NAMES, st.text("abc ", max_size=3)), max_size=8)


@given(st.lists(st.tuples(NAMES, st.text("abc", max_size=3)), max_size=6), EDITS)
def test_agrees_with_a_plain_list(fields: list[tuple[str, str]], edits: list[tuple[str, str, str]]) -> None:
    head = make(*[(name.encode(), value.encode()) for name, value in fields])
    model = list(fields)
    for what, name, value in edits:
        if what == "add":
            head.add(name, value)
            model.append((name, value))
        else:
            model = [field for field in model if field[0].lower() != name.lower()]
            if what == "set":
                head.set(name, value)
                model.append((name, value))
            else:
                head.remove(name)
    assert list(head.items()) == model
    assert head.text() == b"".join(f"{name}: {value}\r\n".encode() for name, value in model)
    for name, _ in model:
        values = [value for found, value in model if found.lower() == name.lower()]
        assert head.get_all(name) == values
        assert head.get(name) == values[0]


@pytest.mark.parametrize("name", ["Host", "host", "Content-Length", "Transfer-Encoding", "connection"])
def test_plugin_cannot_take_away_or_forge_what_frames_a_message(name: str) -> None:
    """Refused, or without effect on what is written: both are fine."""
    shape = request_policy(False).shape((b"Host", b"Content-Length"))
    head = RequestHead(RequestBlock(shape, [b"a.example", b"3"], "1.1"), "POST", "/", "1.1")
    with contextlib.suppress(ValueError):
        head.remove(name)
    with contextlib.suppress(ValueError):
        head.add(name, "1")
    written = head.text().lower()
    assert written.count(b"host: ") == written.count(b"content-length: ") == 1
    assert b"transfer-encoding" not in written
    assert b"connection" not in written


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (200, b"Fine", b"HTTP/1.1 200 Fine\r\n"),
        (200, b"", b"HTTP/1.1 200 OK\r\n"),
        (200, b"a\x01b", b"HTTP/1.1 200 OK\r\n"),
        (404, b"\xe9", b"HTTP/1.1 404 Not Found\r\n"),
        (299, b"", b"HTTP/1.1 299 \r\n"),
    ],
)
def test_status_line(status: int, reason: bytes, line: bytes) -> None:
    assert status_line(status, reason) == line


def test_response_is_written_out() -> None:
    head = make((b"X", b"1"))
    assert b"".join(head.pieces()) == b"HTTP/1.1 200 OK\r\nX: 1\r\n"
    head.add("Y", "2")
    assert b"".join(head.pieces()) == b"HTTP/1.1 200 OK\r\nX: 1\r\nY: 2\r\n"
    head.status = 404
    head.remove("x")
    assert b"".join(head.pieces()) == b"HTTP/1.1 404 Not Found\r\nY: 2\r\n"


def request_head(*fields: tuple[bytes, bytes], chunked: bool = False) -> RequestHead:
    shape = request_policy(False).shape(tuple(name for name, _ in fields))
    block = RequestBlock(shape, [value for _, value in fields], "1.1")
    block.chunked = chunked
    return RequestHead(block, "POST", "/a?b=1", "1.1", b"POST /a?b=1 HTTP/1.1\r\n")


REQUEST = ((b"Host", b"a.example"), (b"X-A", b"1"), (b"X-B", b"2"))


@pytest.mark.parametrize("chunked", [True, False])
def test_a_copy_says_the_same(chunked: bool) -> None:
    head = request_head(*REQUEST, chunked=chunked)
    head.remove("x-a")
    head.add("X-C", "3")
    twin = head.copy()
    assert twin.text() == head.text() == b"Host: a.example\r\nX-B: 2\r\nX-C: 3\r\n"
    assert twin.block is head.block
    assert (twin.method, twin.target, twin.version, twin.line) == ("POST", "/a?b=1", "1.1", head.line)
    assert twin.chunked is chunked


def test_what_copies_it_gets_all_of_it() -> None:
    head = ResponseHead(ResponseBlock(RESPONSES.shape([b"A"]), [b"1"], 200), b"body")
    head.add("B", "2")
    twin = copy.copy(head)
    assert (twin.status, twin.body, list(twin.items())) == (200, b"body", [("A", "1"), ("B", "2")])


def test_a_copy_knows_how_the_body_is_framed_now() -> None:
    head = request_head(*REQUEST, chunked=True)
    head.chunked = False
    head.set_length(5)
    twin = head.copy()
    assert twin.chunked is False
    assert twin.text().endswith(b"Content-Length: 5\r\n")


@given(EDITS, EDITS, EDITS)
def test_a_copy_changes_on_its_own(
    before: list[tuple[str, str, str]], mine: list[tuple[str, str, str]], its: list[tuple[str, str, str]]
) -> None:
    head = request_head(*REQUEST)
    edit(head, before)
    expected, other = request_head(*REQUEST), request_head(*REQUEST)
    edit(expected, before + mine)
    edit(other, before + its)
    twin = head.copy()
    edit(twin, its)
    edit(head, mine)
    assert head.text() == expected.text()
    assert twin.text() == other.text()


def edit(head: RequestHead, edits: list[tuple[str, str, str]]) -> None:
    for what, name, value in edits:
        if what == "remove":
            head.remove(name)
        else:
            getattr(head, what)(name, value)


def test_several_fields_are_added_at_once() -> None:
    head = make_exchange(headers={"X-A": "1"}).headers
    head.add("X-B", "2")
    fields = (("X-C", "3"), ("X-D", "é"))
    for _ in range(2):
        head.add_all(fields)
    head.add_all(())

    assert [value for name, value in head.items() if name in "X-A X-B X-C X-D"] == ["1", "2", "3", "é", "3", "é"]
    assert head.get_all("x-c") == ["3", "3"]


@pytest.mark.parametrize("field", [("X-C", "a\r\nX-D: 1"), ("Content-Length", "5"), ("X C", "1"), ("Host", "a")])
def test_several_fields_are_added_only_if_all_are_good(field: tuple[str, str]) -> None:
    head = make_exchange(headers={"X-A": "1"}).headers
    head.add("X-B", "2")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"."):
            head.add_all((("X-Good", "1"), field))

    assert (head.get("X-Good"), head.get("X-B")) == (None, "2")


def test_what_was_received_stays_known() -> None:
    head = make((b"X-A", b" 1 "), (b"x-b", b"2"), (b"x-a", b"3"))
    head.remove("x-b")
    head.set("X-A", "9")
    head.add("x-c", "4")

    assert head.received(b"x-a") == (b"1", b"3")
    assert head.received(b"x-b") == (b"2",)
    assert head.received(b"x-c") == ()


def test_raw_values_are_those_of_the_text() -> None:
    head = make_exchange(headers=[("Cookie", " a=1 "), ("X-A", "1"), ("cookie", "b=2")]).headers
    head.add("Cookie", "c=3")

    assert (head.raw(b"cookie"), head.raw(b"x-a"), head.raw(b"x-none")) == (b"a=1", b"1", None)
    assert head.raw_values((b"cookie", b"x-none", b"x-a")) == ((b"a=1", b"b=2", b"c=3"), (), (b"1",))
    head.set("Cookie", "d=4")
    assert head.raw_values((b"cookie",)) == ((b"d=4",),)
    assert head.raw(b"cookie") == b"d=4"


def test_fields_that_are_written_out_are_added_and_put_in_place() -> None:
    head = make_exchange(headers=[("X-A", "1"), ("x-a", "2"), ("X-B", "3")]).headers
    head.add_line(b"X-C: 4\r\n")
    head.set_line(b"x-a", b"X-A: 5\r\n")
    head.set_line(b"x-c", b"X-C: 6\r\n")
    head.set_line(b"x-d", b"X-D: 7\r\n")

    assert [(name, value) for name, value in head.items() if name.startswith("X-")] == [
        ("X-B", "3"),
        ("X-A", "5"),
        ("X-C", "6"),
        ("X-D", "7"),
    ]
    bare = make_exchange().headers
    bare.set_line(b"x-a", b"X-A: 1\r\n")
    assert bare.get_all("x-a") == ["1"]
