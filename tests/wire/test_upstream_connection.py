"""One connection to a service, with a transport that is no socket."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import GatewayError, Kind
from gateway.wire.head import ResponseHead
from gateway.wire.pool import Pool, PoolLimits
from gateway.wire.upstream_connection import UpstreamConnection


class Transport:
    """Keeps what is written, and what was done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class Receiver:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.crash = False

    def interim(self, head: ResponseHead) -> None:
        self.calls.append(("interim", head.status))

    def response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self.calls.append(("response", head.status, body, ended))
        if self.crash:
            raise RuntimeError("crash")

    def response_body(self, body: bytes, ended: bool) -> None:
        self.calls.append(("body", body, ended))

    def failed(self, error: GatewayError, stale: bool) -> None:
        self.calls.append(("failed", error.kind.word, stale))

    def pause_sending(self) -> None:
        self.calls.append(("pause",))

    def resume_sending(self) -> None:
        self.calls.append(("resume",))


def make(uses: int = 0) -> tuple[UpstreamConnection, Transport, Receiver, Pool]:
    pool = Pool("h", 1, PoolLimits())
    connection, transport, receiver = UpstreamConnection(pool, 4096), Transport(), Receiver()
    connection.connection_made(transport)  # type: ignore[arg-type]
    pool.connections.add(connection)
    connection.uses = uses
    connection.receiver = receiver  # type: ignore[assignment]
    return connection, transport, receiver, pool


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_answer_and_back_to_the_pool() -> None:
    connection, transport, receiver, pool = make()
    connection.send(b"GET", True, False, False)
    assert transport.written == b"GET"
    connection.data_received(b"HTTP/1.1 103 E\r\n\r\n" + OK)
    assert receiver.calls == [("interim", 103), ("response", 200, b"ok", True)]
    assert pool.idle == [connection]
    assert (connection.receiver, transport.calls) == (None, [])


@pytest.mark.parametrize("answer", [OK + b"x", OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
def test_not_back_to_the_pool(answer: bytes) -> None:
    connection, transport, receiver, pool = make()
    connection.send(b"GET", True, False, False)
    connection.data_received(answer)
    assert receiver.calls == [("response", 200, b"ok", True)]
    assert not pool.connections
    assert transport.calls == ["abort"]


def test_answer_before_the_request_is_sent_whole() -> None:
    connection, _, _, pool = make()
    connection.send(b"POST", False, False, False)
    connection.data_received(OK)
    assert not pool.connections


def test_body_in_pieces() -> None:
    connection, _, receiver, _ = make()
    connection.send(b"GET", True, False, False)
    for piece in (OK[:10], OK[10:-2], b"o", b"k"):
        connection.data_received(piece)
    assert receiver.calls == [("response", 200, b"", False), ("body", b"o", False), ("body", b"k", True)]


def test_request_body() -> None:
    connection, transport, _, _ = make()
    connection.send(b"HEAD", False, True, False)
    connection.send_body(b"abc", False)
    connection.send_body(b"", True)
    assert transport.written == b"HEAD3\r\nabc\r\n0\r\n\r\n"
    connection, transport, _, _ = make()
    connection.send(b"HEAD", False, False, False)
    connection.send_body(b"abc", False)
    connection.send_body(b"", True)
    assert transport.written == b"HEADabc"


@pytest.mark.parametrize(
    ("uses", "came", "expected"),
    [
        (0, b"", ("failed", "upstream_reset", False)),
        (1, b"", ("failed", "upstream_reset", True)),
        (1, b"H", ("failed", "upstream_reset", False)),
        (1, b"HTTP/1.1 103 E\r\n\r\n", ("failed", "upstream_reset", False)),
        (1, OK[:-1], ("failed", "upstream_incomplete", False)),
        (1, b"HTTP/1.1 200 OK\r\n\r\nok", ("body", b"", True)),
    ],
)
def test_lost(uses: int, came: bytes, expected: tuple[Any, ...]) -> None:
    connection, _, receiver, pool = make(uses)
    connection.send(b"GET", True, False, False)
    if came:
        connection.data_received(came)
    connection.connection_lost(None)
    connection.connection_lost(None)
    assert receiver.calls[-1] == expected
    assert [call[0] for call in receiver.calls].count("failed") == (expected[0] == "failed")
    assert not pool.connections


def test_reset_is_no_end_of_a_body() -> None:
    connection, _, receiver, _ = make()
    connection.send(b"GET", True, False, False)
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nok")
    connection.connection_lost(ConnectionResetError())
    assert receiver.calls[-1] == ("failed", "upstream_incomplete", False)


def test_stray_bytes_while_idle() -> None:
    connection, transport, receiver, pool = make()
    connection.receiver = None
    connection.data_received(b"x")
    assert transport.calls == ["abort"]
    assert not pool.connections
    assert receiver.calls == []


def test_aborted() -> None:
    connection, transport, receiver, pool = make()
    connection.send(b"GET", True, False, False)
    connection.abort()
    connection.connection_lost(None)
    connection.send_body(b"x", True)
    connection.pause_reading()
    connection.resume_reading()
    assert (transport.calls, receiver.calls) == (["abort"], [])
    assert not pool.connections


def test_crash_of_a_receiver_does_not_escape(caplog: pytest.LogCaptureFixture) -> None:
    connection, _, receiver, pool = make()
    receiver.crash = True
    connection.send(b"GET", True, False, False)
    connection.data_received(OK[:-1])
    assert receiver.calls[-1] == ("failed", "internal", False)
    assert not pool.connections
    assert "crash" in caplog.text


def test_crash_at_the_end_of_an_answer_does_not_hit_the_next_in_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    """The connection has been handed on by then: it is no longer the crashed receiver's to abort."""
    connection, transport, receiver, pool = make()
    receiver.crash = True
    connection.send(b"GET", True, False, False)

    class Next(Receiver):
        def connected(self, connection: UpstreamConnection) -> None:
            connection.send(b"NEXT", True, False, False)

    following = Next()
    pool.queue[following] = None  # type: ignore[index]
    connection.data_received(OK)
    assert ("failed", "internal", False) not in following.calls
    assert connection.receiver is following
    assert "abort" not in transport.calls


def test_congestion_both_ways() -> None:
    connection, transport, receiver, _ = make()
    connection.send(b"GET", True, False, False)
    connection.pause_writing()
    connection.resume_writing()
    assert receiver.calls == [("pause",), ("resume",)]
    connection.pause_reading()
    connection.pause_reading()
    connection.resume_reading()
    connection.resume_reading()
    assert transport.calls == ["pause_reading", "resume_reading"]


def test_paused_connection_reads_again_for_the_next() -> None:
    connection, transport, _, pool = make()
    connection.send(b"GET", True, False, False)
    connection.pause_reading()
    connection.data_received(OK)
    assert transport.calls == ["pause_reading", "resume_reading"]
    assert pool.idle == [connection]


SWITCH = b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class Upgrading(Receiver):
    """One that asked to go on in another protocol."""

    error: Exception | None = None

    def upgraded(self, head: ResponseHead, body: bytes) -> None:
        self.calls.append(("upgraded", head.status, body))
        if self.error is not None:
            raise self.error


def test_an_upgrade_that_was_asked_for_goes_on_until_the_end() -> None:
    connection, transport, _, pool = make()
    connection.receiver = receiver = Upgrading()  # type: ignore[assignment]
    connection.send(b"GET", True, False, False)
    connection.data_received(SWITCH + b"early")
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    connection.send_body(b"raw", False)
    connection.connection_lost(None)
    assert receiver.calls == [
        ("upgraded", 101, b"early"),
        ("body", b"HTTP/1.1 200 OK\r\n\r\n", False),
        ("body", b"", True),
    ]
    assert (transport.written, pool.connections) == (b"GETraw", set())


@pytest.mark.parametrize(
    ("error", "kind"),
    [(GatewayError(Kind.UPSTREAM_MALFORMED), "upstream_malformed"), (RuntimeError("crash"), "internal")],
)
def test_an_upgrade_that_is_not_taken(error: Exception, kind: str) -> None:
    connection, transport, _, pool = make()
    connection.receiver = receiver = Upgrading()  # type: ignore[assignment]
    receiver.error = error
    connection.send(b"GET", True, False, False)
    connection.data_received(SWITCH)
    assert receiver.calls == [("upgraded", 101, b""), ("failed", kind, False)]
    assert (transport.calls, pool.connections) == (["abort"], set())


def test_an_upgrade_of_whom_it_means_nothing_to() -> None:
    connection, transport, receiver, _ = make()
    connection.send(b"GET", True, False, False)
    connection.data_received(SWITCH)
    assert receiver.calls == [("failed", "upstream_malformed", False)]
    assert transport.calls == ["abort"]
