"""One client's connection, with a transport that is no socket and a handler that notes what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.state.board import Board
from gateway.wire.client_connection import ClientConnection
from gateway.wire.connections import Connections
from gateway.wire.date import DATE
from gateway.wire.deadlines import Deadlines
from gateway.wire.head import RequestHead, ResponseBlock, ResponseHead
from gateway.wire.shapes import RESPONSES
from tests.support.gateways import make_settings, request
from tests.support.polling import eventually


class Transport:
    """Keeps what is written, and what was done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []
        self.closing = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, pieces: Any) -> None:
        self.written += b"".join(pieces)

    def get_extra_info(self, name: str) -> Any:
        return ("1.2.3.4", 5) if name == "peername" else None

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.limits = (high, low)

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        def call() -> None:
            self.calls.append(name)
            self.closing = self.closing or name in ("close", "abort")

        return call


class Handler:
    """Notes calls. `answer` is called for each request, if it is set."""

    def __init__(self) -> None:
        self.stopping = False
        self.calls: list[tuple[Any, ...]] = []
        self.answer: Any = None

    def begin(self, client: ClientConnection, head: RequestHead, body: bytes, ended: bool) -> None:
        client.exchange = self
        self.calls.append(("begin", head.target, body, ended))
        if self.answer is not None:
            self.answer(client)

    def refuse(self, client: ClientConnection, error: GatewayError) -> None:
        client.exchange = self
        self.calls.append(("refuse", error.kind.word))
        respond(client, 400)

    def request_body(self, exchange: Any, body: bytes, ended: bool) -> None:
        self.calls.append(("body", body, ended))

    def fail(self, exchange: Any, error: GatewayError) -> None:
        self.calls.append(("failed", error.kind.word))

    def client_gone(self, exchange: Any) -> None:
        self.calls.append(("gone",))

    def expired(self, exchange: Any, now: float) -> None:
        self.calls.append(("expired",))

    def pause_response(self) -> None:
        self.calls.append(("pause",))

    def resume_response(self) -> None:
        self.calls.append(("resume",))


def respond(client: ClientConnection, status: int = 200, body: bytes = b"ok") -> None:
    block = ResponseBlock(RESPONSES.shape((b"Content-Length", b"Date")), [b"%d" % len(body), b"D"], status)
    block.length = len(body)
    client.respond(ResponseHead(block), body, True)
    client.finished(100.0)


def make(**options: Any) -> tuple[ClientConnection, Transport, Handler]:
    handler, connections = Handler(), Connections()
    client = ClientConnection(handler, make_settings(**options), Deadlines(), connections)
    transport = Transport()
    client.connection_made(transport)  # type: ignore[arg-type]
    assert connections == {client}
    return client, transport, handler


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: D\r\n"


def test_request_and_answer() -> None:
    client, transport, handler = make()
    client.data_received(request("/x", method="POST", body=b"abc"))
    assert handler.calls == [("begin", "/x", b"abc", True)]
    respond(client)
    assert transport.written == OK + b"\r\nok"
    assert client.exchange is None
    assert client.transport is not None


def test_body_in_pieces() -> None:
    client, _, handler = make()
    client.data_received(request("/x", b"Content-Length: 6", method="POST") + b"ab")
    client.data_received(b"cd")
    client.data_received(b"efGET")
    assert handler.calls == [("begin", "/x", b"ab", False), ("body", b"cd", False), ("body", b"ef", True)]
    assert client.parser.rest == b"GET"


def test_pipelined_requests_wait_their_turn() -> None:
    client, transport, handler = make()
    client.data_received(request("/1") + request("/2"))
    client.data_received(request("/3"))
    assert len(handler.calls) == 1
    respond(client)
    assert [call[1] for call in handler.calls] == ["/1", "/2"]
    respond(client)
    respond(client)
    assert [call[1] for call in handler.calls] == ["/1", "/2", "/3"]
    assert transport.calls.count("resume_reading") == transport.calls.count("pause_reading")
    assert transport.written == (OK + b"\r\nok") * 3


async def test_very_many_pipelined_requests_do_not_recurse() -> None:
    """And others have their turn in between."""
    client, transport, handler = make()
    handler.answer = respond
    client.data_received(request("/") * 5000)
    assert len(handler.calls) < 100
    await eventually(lambda: len(handler.calls) == 5000)
    assert transport.written.count(b"HTTP/1.1 200 OK") == 5000


async def test_slow_client_is_not_served_on() -> None:
    client, transport, handler = make()
    handler.answer = respond
    client.pause_writing()
    client.data_received(request("/") * 100)
    assert len(handler.calls) <= 1
    client.resume_writing()
    await eventually(lambda: len(handler.calls) == 100)
    assert "pause_reading" in transport.calls or len(client.parser.rest) == 0


def test_client_gone() -> None:
    client, _, handler = make()
    client.data_received(request("/x"))
    client.connection_lost(None)
    client.connection_lost(None)
    assert handler.calls[1:] == [("gone",)]
    assert client.transport is None
    respond(client)


@pytest.mark.parametrize("half_close", [True, False])
def test_fin(half_close: bool) -> None:
    client, transport, handler = make(half_close=half_close)
    assert client.eof_received() is False
    client, transport, handler = make(half_close=half_close)
    client.data_received(request("/x"))
    assert client.eof_received() is half_close
    assert (("gone",) in handler.calls) is not half_close
    if half_close:
        respond(client)
        assert transport.written.endswith(b"ok")
        assert "close" in transport.calls


def test_refused() -> None:
    client, transport, handler = make()
    client.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert handler.calls == [("refuse", "bad_request")]
    assert b"Connection: close\r\n\r\nok" in transport.written
    assert transport.calls == ["write_eof"]
    client.data_received(b"x" * 100)
    assert handler.calls == [("refuse", "bad_request")]
    client.data_received(b"x" * (1 << 21))
    assert "abort" in transport.calls


def test_malformed_chunk_after_the_head() -> None:
    client, _, handler = make()
    client.data_received(request("/x", b"Transfer-Encoding: chunked", method="POST"))
    client.data_received(b"xyz\r\n")
    assert handler.calls[1:] == [("failed", "bad_request")]


def test_handler_crash_does_not_escape(caplog: pytest.LogCaptureFixture) -> None:
    client, transport, handler = make()

    def crash(_: Any) -> None:
        raise RuntimeError("crash")

    handler.answer = crash
    client.data_received(request("/x"))
    assert ("gone",) in handler.calls
    assert "abort" in transport.calls
    assert "crash" in caplog.text


def test_congestion_is_passed_on() -> None:
    client, _, handler = make()
    client.pause_writing()
    assert client.congested
    client.resume_writing()
    client.data_received(request("/x"))
    client.pause_writing()
    client.resume_writing()
    assert handler.calls[1:] == [("pause",), ("resume",)]


def test_reading_paused_for_the_upstream_is_resumed_for_the_next_request() -> None:
    """An answer that came before the upstream took the whole body leaves nothing paused behind."""
    client, transport, _ = make()
    client.data_received(request("/x", method="POST", body=b"abc"))
    client.pause_reading()
    respond(client)
    assert transport.calls.count("resume_reading") == transport.calls.count("pause_reading")


def test_interim() -> None:
    client, transport, _ = make()
    client.data_received(request("/x"))
    client.send_interim(103, b"Link: a\r\n")
    assert transport.written == b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    client, transport, _ = make()
    client.data_received(request("/x", version="1.0", host=None))
    client.send_interim(103)
    assert transport.written == b""


def test_stopping() -> None:
    client, transport, handler = make()
    client.close_when_idle()
    assert "close" not in transport.calls, "a request may be on its way"
    client.expired(client.deadline)
    assert "close" in transport.calls
    client, transport, handler = make()
    client.close_when_idle()
    client.data_received(request("/x"))
    handler.stopping = True
    client.close_when_idle()
    respond(client)
    assert b"Connection: close\r\n" in transport.written
    assert "close" in transport.calls


def test_date() -> None:
    assert DATE.line().startswith(b"Date: ")
    assert DATE.line().endswith(b" GMT\r\n")


def test_after_a_switch_all_bytes_are_a_body() -> None:
    client, transport, handler = make()
    handler.answer = lambda client: None
    client.data_received(request("/x", b"Connection: Upgrade", b"Upgrade: websocket"))
    client.data_received(b"early")
    assert handler.calls[1:] == []
    client.switch(b"HTTP/1.1 101 Yes\r\n\r\n")
    client.data_received(request("/y"))
    assert handler.calls[1:] == [("body", b"early", False), ("body", request("/y"), False)]
    client.send_body(b"one", False)
    client.send_last(b"two")
    client.send_body(b"three", False)
    assert transport.written == b"HTTP/1.1 101 Yes\r\n\r\nonetwo"
    client.finished(100.0)
    assert transport.calls == ["write_eof"]


def test_bytes_that_come_too_soon_and_too_many_are_read_after_the_switch() -> None:
    client, transport, handler = make(pipeline_held=100)
    handler.answer = lambda client: None
    client.data_received(request("/x", b"Connection: Upgrade", b"Upgrade: websocket"))
    client.data_received(bytes(10_000))
    assert transport.calls == ["pause_reading"]
    client.switch(b"")
    assert transport.calls == ["pause_reading", "resume_reading"]
    assert b"".join(body for name, body, _ in handler.calls[1:]) == bytes(10_000)


def test_a_client_that_is_gone_switches_to_nothing() -> None:
    client, transport, _ = make()
    client.connection_lost(None)
    client.switch(b"x")
    client.send_last(b"x")
    assert transport.written == b""


def test_connections_of_other_workers_count_at_the_limit() -> None:
    board = Board.create(2)
    seats = [board.take_seat(number) for number in range(2)]
    here, there = (Connections(seat.tally(seat.marks("listeners").of("0"))) for seat in seats)
    there.add(object())  # type: ignore[arg-type]
    for limit, calls in ((2, []), (1, [("refuse", "too_many_connections")])):
        handler = Handler()
        client = ClientConnection(handler, make_settings(connections=limit), Deadlines(), here)
        client.connection_made(Transport())  # type: ignore[arg-type]
        assert handler.calls == calls
        client.connection_lost(None)
        assert not here


@pytest.mark.parametrize(("taken", "told"), [(0, ("expired",)), (1023, ("expired",)), (1024, ("pause",))])
def test_who_takes_little_of_a_response_has_no_more_time(taken: int, told: tuple[str]) -> None:
    client, transport, handler = make()
    client.data_received(request("/a"))
    transport.unsent = 200_000
    client.pause_writing()
    handler.calls.clear()

    transport.unsent -= taken
    client.expired(75.0)
    assert handler.calls == [told]

    client.expired(150.0)
    assert handler.calls[1:] == [("expired",)], "nothing since"
