"""Clients that send hardly anything: what they send puts nothing off, and others are served meanwhile."""

from typing import Any

import pytest

from tests.support.gateways import gateway, make_settings, request
from tests.support.polling import eventually, soon, turns
from tests.support.raw_upstream import OK, Peer, upstream
from tests.support.recording import ReadsRequest


async def reading(peer: Peer) -> None:
    while True:
        await peer.request()
        peer.send(OK)


@pytest.mark.parametrize("collected", [False, True])
async def test_a_kibibyte_is_progress_and_a_byte_is_none(collected: bool) -> None:
    plugin = ReadsRequest()
    plugin.max_body = 1 << 20  # type: ignore[misc]
    plugins: Any = [plugin] if collected else []
    async with (
        upstream(reading) as service,
        gateway(service.port, plugins=plugins) as running,
        running.client() as slow,
        running.client() as honest,
    ):
        slow.send(request("/x", b"Content-Length: 3000", method="POST"))
        await eventually(lambda: running.recorder.exchanges or running.proxy.active)
        (connection,) = [one for one in running.listener.connections if one.exchange is not None]
        if not collected:
            await eventually(lambda: service.connections and connection.exchange.attempt.connection)
        exchange, sent = connection.exchange, 0
        begun = connection.deadline
        for piece, moves in ((1, False), (1022, False), (1, True), (1000, False), (24, True), (900, False)):
            slow.send(bytes(piece))
            sent += piece
            await eventually(lambda sent=sent: exchange.bytes_in == sent)
            assert (connection.deadline > begun) == moves, sent
            begun = connection.deadline
        assert (await honest.ask(request("/ping"))).body == b"pong"
        slow.send(bytes(3000 - sent))
        assert (await slow.response()).body == b"ok"


async def test_the_framing_of_chunks_is_no_progress() -> None:
    async with upstream(reading) as service, gateway(service.port) as running, running.client() as slow:
        slow.send(request("/x", b"Transfer-Encoding: chunked", method="POST") + b"1\r\na\r\n")
        await eventually(lambda: running.proxy.active)
        (connection,) = running.listener.connections
        await eventually(lambda: connection.exchange.bytes_in == 1 and connection.exchange.attempt.connection)
        begun = connection.deadline
        for piece in (b"1", b"\r", b"\n", b"b", b"\r\n"):
            slow.send(piece)
            await turns()
        await eventually(lambda: connection.exchange.bytes_in == 2)
        assert connection.deadline == begun
        slow.send(b"0\r\n\r\n")
        assert (await slow.response()).body == b"ok"


@pytest.mark.parametrize(
    "text",
    [request("/x", b"X-Slow: ").removesuffix(b"\r\n\r\n"), request("/x", b"Content-Length: 9000", method="POST")],
)
async def test_one_byte_after_the_other_is_cut(text: bytes) -> None:
    settings = make_settings(head_timeout=0.2, body_timeout=0.2)
    async with (
        upstream(reading) as service,
        gateway(service.port, settings=settings) as running,
        running.client() as slow,
    ):
        slow.send(text)
        bytes_sent = 0
        while running.listener.connections and not slow.reader._buffer:  # type: ignore[attr-defined]
            if bytes_sent < 1000:
                slow.send(b"x")
                bytes_sent += 1
            await turns()
        answer = await soon(slow.response())
        assert (answer.status, answer.get("Connection")) == (408, "close")
        await slow.ends()
