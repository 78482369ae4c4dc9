"""Where frames of a WebSocket end, who asks for one, and what is told to its client."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import make_head
from gateway.wire.head import RequestBlock, RequestHead
from gateway.wire.request_checks import examine
from gateway.wire.shapes import request_policy
from gateway.wire.tunnel import GOING_AWAY, Tunnel, answers_with_websocket, asks_for_websocket

WANTED = {"Host": "a", "Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}


def head(method: str = "GET", version: str = "1.1", **fields: str) -> RequestHead:
    policy = request_policy(False)
    given = {**WANTED, **{name.replace("_", "-"): value for name, value in fields.items()}}
    names = [name.encode() for name, value in given.items() if value]
    values = [value.encode() for value in given.values() if value]
    block = examine(RequestBlock(policy.shape(names), values, version), version, policy)
    return RequestHead(block, method, "/", version)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (head(), True),
        (head(Upgrade="WebSocket", Connection="UPGRADE"), True),
        (head(Upgrade="h2c, websocket"), True),
        (head(Upgrade="h2c"), False),
        (head(Upgrade=""), False),
        (head(Connection=""), False),
        (head(Connection="close"), False),
        (head(method="POST"), False),
        (head(version="1.0"), False),
        (head(Content_Length="3"), False),
        (head(Transfer_Encoding="chunked"), False),
        (head(Content_Length="0"), True),
    ],
)
def test_who_asks(asked: RequestHead, expected: bool) -> None:
    assert asks_for_websocket(asked) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Connection": "upgrade", "Upgrade": "websocket"}, True),
        ({"Connection": "upgrade", "Upgrade": "h2c"}, False),
        ({"Upgrade": "websocket"}, False),
        ({"Connection": "upgrade"}, False),
    ],
)
def test_what_an_answer_switches_to(fields: dict[str, str], expected: bool) -> None:
    assert answers_with_websocket(make_head(101, fields)) is expected


def test_an_answer_that_says_how_long_it_is_switches_to_nothing() -> None:
    answer = make_head(101, {"Connection": "upgrade", "Upgrade": "websocket"})
    answer.length = 3
    assert not answers_with_websocket(answer)


class Client:
    """Keeps what it is sent."""

    def __init__(self, stopping: bool = False) -> None:
        self.handler = self
        self.stopping = stopping
        self.sent: list[bytes] = []
        self.last: list[bytes] = []

    def switch(self, data: bytes) -> None:
        self.sent.append(data)

    def send_last(self, data: bytes) -> None:
        self.last.append(data)


def tunnel(stopping: bool = False) -> tuple[Tunnel, Client]:
    client = Client(stopping)
    given: Any = client
    return Tunnel(given), client


def frame(size: int, masked: bool = False) -> bytes:
    mark = 128 if masked else 0
    if size < 126:
        head = struct.pack("!BB", 0x82, size | mark)
    elif size < 65536:
        head = struct.pack("!BBH", 0x82, 126 | mark, size)
    else:
        head = struct.pack("!BBQ", 0x82, 127 | mark, size)
    return head + (b"mask" if masked else b"") + bytes(size)


def test_it_opens_with_fields_of_its_own() -> None:
    opened, client = tunnel()
    opened.open(make_head(101, {"Connection": "upgrade", "Upgrade": "websocket", "X-A": "b"}), b"\x81\x01a")
    (sent,) = client.sent
    text = b"HTTP/1.1 101 Switching Protocols\r\nX-A: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert sent == text + b"\x81\x01a"
    assert client.last == []


def test_one_that_opens_while_the_gateway_stops_is_told_at_once() -> None:
    opened, client = tunnel(stopping=True)
    opened.open(make_head(101), b"")
    assert client.last == [GOING_AWAY]


@given(st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 300, 65535, 65536]), st.booleans()), max_size=4), st.data())
def test_the_client_is_told_where_a_frame_ends(frames: list[tuple[int, bool]], data: st.DataObject) -> None:
    texts = [frame(*one) for one in frames]
    stream = b"".join(texts)
    ends = {0}
    for text in texts:
        ends.add(max(ends) + len(text))
    marks = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    cuts = sorted({0, len(stream), *marks})
    leaving = data.draw(st.sampled_from(cuts))
    opened, client = tunnel()
    for start, end in zip([0, *cuts], cuts, strict=False):
        if end > start:
            opened.feed(stream[start:end])
        if end == leaving:
            opened.leave()
        due = any(leaving <= cut <= end and cut in ends for cut in cuts)
        assert client.last == ([GOING_AWAY] if due else [])


def test_a_frame_goes_on_over_many_slices() -> None:
    opened, client = tunnel()
    text = frame(70_000)
    for place in range(len(text)):
        if place == 5:
            opened.leave()
        assert client.last == []
        opened.feed(text[place : place + 1])
    assert client.last == [GOING_AWAY]
    opened.end()
