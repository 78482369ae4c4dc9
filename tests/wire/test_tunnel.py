"""Where frames of a WebSocket end, who asks for one, and what is told to its client."""

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.metrics import Gauge
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


class Transport:
    """Keeps what is written, who listens, and what was done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.protocol: Any = None
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


class Side:
    """What a tunnel asks of either connection; notes what it is told."""

    def __init__(self, stopping: bool = False) -> None:
        self.handler = self.settings = self.deadlines = self
        self.stopping, self.linger_seconds, self.idle_timeout = stopping, 2.0, 75.0
        self.transport: Any = Transport()
        self.exchange = SimpleNamespace(bytes_in=0, bytes_out=0)
        self.sent: list[bytes] = []
        self.last: list[bytes] = []
        self.calls: list[Any] = []
        self.watched: list[float] = []

    def switch(self, given: Any) -> None:
        if isinstance(given, bytes):
            self.sent.append(given)
        else:
            self.transport.set_protocol(given)

    def send_last(self, data: bytes) -> None:
        self.last.append(data)

    def watch(self, watched: Tunnel, deadline: float) -> None:
        watched.deadline = deadline
        self.watched.append(deadline)

    def forget(self, watched: Tunnel) -> None:
        self.calls.append("forget")

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append("lost")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def break_off(self) -> None:
        self.calls.append("break off")


def tunnel(stopping: bool = False, body: bytes = b"") -> tuple[Tunnel, Side, Side, Gauge]:
    """One that is open, with its client, its upstream and its count."""
    client, upstream, count = Side(stopping), Side(), Gauge()
    given: Any = client
    other: Any = upstream
    opened = Tunnel(given, other, 3600.0, count)
    opened.open(make_head(101, {"Connection": "upgrade", "Upgrade": "websocket", "X-A": "b"}), body)
    return opened, client, upstream, count


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
    _, client, _, count = tunnel(body=b"\x81\x01a")
    (sent,) = client.sent
    assert count.value == 1
    text = b"HTTP/1.1 101 Switching Protocols\r\nX-A: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert sent == text + b"\x81\x01a"
    assert client.last == []


def test_one_that_opens_while_the_gateway_stops_is_told_at_once() -> None:
    _, client, upstream, _ = tunnel(stopping=True)
    assert client.last == [GOING_AWAY]
    upstream.transport.protocol.data_received(b"\x81\x01a")
    assert client.transport.written == b"", "nothing follows a close frame"


def test_bytes_pass_and_count_and_put_off_the_end() -> None:
    opened, client, upstream, _ = tunnel()
    for side, other in ((client, upstream), (upstream, client)):
        opened.deadline = 0.0
        for piece in (b"\x81\x02hi", b"\x81", b"\x03", b"abc\x81"):
            side.transport.protocol.data_received(piece)
        assert other.transport.written == b"\x81\x02hi\x81\x03abc\x81"
        assert opened.deadline > 3600.0
    assert vars(client.exchange) == {"bytes_in": 10, "bytes_out": 10}


def test_back_pressure_is_the_connections_own() -> None:
    _, client, upstream, _ = tunnel()
    for side in (client, upstream):
        side.transport.protocol.pause_writing()
        side.transport.protocol.resume_writing()
        assert side.calls == ["pause", "resume"]


def test_silence_ends_it_with_a_close_frame_and_then_without() -> None:
    opened, client, upstream, _ = tunnel()
    opened.expired(5000.0)
    assert (client.last, client.watched[1:], client.calls) == ([GOING_AWAY], [5002.0], [])
    client.transport.protocol.data_received(b"\x81\x80mask")
    assert opened.deadline < 5002.0 or opened.idle == 0.0, "bytes do not put it off"
    opened.expired(5002.0)
    assert client.calls == ["break off"]
    assert upstream.transport.written == b"\x81\x80mask"


@pytest.mark.parametrize("leaves", ["eof_received", "connection_lost"])
def test_what_a_client_sent_before_it_left_is_still_written(leaves: str) -> None:
    opened, client, upstream, count = tunnel()
    protocol, transport = upstream.transport.protocol, upstream.transport
    getattr(client.transport.protocol, leaves)(*([None] if leaves == "connection_lost" else []))
    assert transport.calls == ["close"]
    assert upstream.transport is None, "nobody can abort it"
    assert client.calls == ["eof" if leaves == "eof_received" else "lost"]
    client.transport.protocol.connection_lost(None)
    assert transport.calls == ["close"]
    opened.expired(1e9)
    assert transport.calls == ["close", "abort"], "not for ever"
    assert count.value == 1
    protocol.connection_lost(None)
    assert (count.value, upstream.calls, client.calls[-1]) == (0, ["lost"], "forget")


def test_the_upstreams_end_gives_the_client_back() -> None:
    _, client, upstream, count = tunnel()
    assert upstream.transport.protocol.eof_received() is False
    upstream.transport.protocol.connection_lost(None)
    assert client.transport.protocol is client
    assert (count.value, upstream.calls) == (0, ["eof", "lost"])
    client.transport = None
    _, client, upstream, _ = tunnel()
    protocol, client.transport = upstream.transport.protocol, None
    protocol.connection_lost(None)
    assert upstream.calls == ["lost"]


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
    opened, client, upstream, _ = tunnel()
    for start, end in zip([0, *cuts], cuts, strict=False):
        if end > start:
            upstream.transport.protocol.data_received(stream[start:end])
        if end == leaving:
            opened.leave()
        due = any(leaving <= cut <= end and cut in ends for cut in cuts)
        assert client.last == ([GOING_AWAY] if due else [])
        if not due:
            assert client.transport.written == stream[:end]


def test_a_frame_goes_on_over_many_slices() -> None:
    opened, client, upstream, _ = tunnel()
    text = frame(70_000)
    for place in range(len(text)):
        if place == 5:
            opened.leave()
        assert client.last == []
        upstream.transport.protocol.data_received(text[place : place + 1])
    assert client.last == [GOING_AWAY]
    opened.end()
