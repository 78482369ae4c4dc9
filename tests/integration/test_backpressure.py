"""Whoever reads slowly slows the other side down, and what the gateway holds meanwhile stays small."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from gateway.exchange import Reply
from gateway.routing.actions import Respond
from tests.support.gateways import Gateway, gateway, make_settings, request, timeouts
from tests.support.polling import PATIENCE, eventually
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import OK, Peer, silent, upstream
from tests.support.recording import Gate

HEAD = b"HTTP/1.1 200 OK\r\n"
# The high-water mark of a transport, and one read on top of it.
HELD = 128 * 1024 + 512 * 1024
SMALL = 16 * 1024
PIECE = b"x" * 65_536


def held(running: Gateway) -> int:
    """Bytes that wait in the gateway, in the most congested direction."""
    transports = [connection.transport for connection in [*running.listener.connections, *running.pool.connections]]
    return max((transport.get_write_buffer_size() for transport in transports if transport is not None), default=0)


async def stands_still(progress: Callable[[], object]) -> None:
    """Wait until a number does not grow any more."""
    last: object = None
    same = 0
    async with asyncio.timeout(PATIENCE):
        while same < 20:
            await asyncio.sleep(0.005)
            now = progress()
            same = same + 1 if now == last else 0
            last = now


async def test_slow_client_slows_the_service_down() -> None:
    sent = 0
    total = 512 * len(PIECE)

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        peer.writer.transport.set_write_buffer_limits(0)
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % total)
        for _ in range(512):
            peer.send(PIECE)
            await peer.writer.drain()
            sent += len(PIECE)
        peer_done.set()
        await peer.gone()

    peer_done = asyncio.Event()
    most = 0
    async with upstream(script) as service, gateway(service.port) as running:
        async with running.client(receive_buffer=SMALL) as client:
            client.send(request())
            head = await client.head()
            assert head.get("content-length") == str(total)
            await stands_still(lambda: sent)
            assert sent < total
            assert 0 < held(running) < HELD
            got = 0
            while got < total:
                got += len(await client.reader.read(1 << 20))
                most = max(most, held(running))
            assert got == total
        assert most < HELD
        assert peer_done.is_set()
        assert running.recorder.finished == [(200, "answered", "-")]


async def test_slow_service_slows_the_client_down() -> None:
    total = 9_000_000
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await go.wait()
        got = 0
        while got < total:
            got += len(await peer.reader.read(1 << 20))
        peer.send(OK)
        await peer.gone()

    async with (
        upstream(script, receive_buffer=SMALL) as service,
        gateway(service.port) as running,
        running.client() as client,
    ):
        client.writer.transport.set_write_buffer_limits(0)
        client.send(request("/x", b"Content-Length: %d" % total, method="POST"))
        client.send(b"x" * total)
        waits = client.writer.transport.get_write_buffer_size
        await stands_still(lambda: -waits())
        assert waits() > 0, "all was taken in"
        assert 0 < held(running) < HELD
        go.set()
        assert (await client.response()).body == b"ok"
        assert (await client.ask(request("/ping"))).body == b"pong"


async def test_body_waits_for_a_connection_without_piling_up() -> None:
    total = 9_000_000
    gate = Gate()

    async def script(peer: Peer) -> None:
        message = await peer.request()
        assert len(message.body) == total
        peer.send(OK)
        await peer.gone()

    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[gate]) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Content-Length: %d" % total, method="POST") + b"x" * total)
        waits = client.writer.transport.get_write_buffer_size
        await eventually(lambda: gate.waiting)
        await stands_still(lambda: -waits())
        assert running.recorder.exchanges[0].bytes_in < HELD
        gate.open.set()
        assert (await client.response()).body == b"ok"


async def _flood(client: RawClient, one: bytes, answers: Callable[[], object]) -> None:
    """Send and send, until nothing is taken any more or nothing is answered any more."""
    client.writer.transport.set_write_buffer_limits(0)
    with contextlib.suppress(ConnectionError, TimeoutError):
        for _ in range(40):
            client.send(one * 50)
            async with asyncio.timeout(0.2):
                await client.writer.drain()
    await stands_still(answers)


async def test_client_that_pipelines_and_never_reads_is_not_served_for_ever() -> None:
    paths = [("/big", Respond(Reply.text(200, "x" * 20_000)))]
    async with gateway(paths=paths) as running, running.client(receive_buffer=SMALL) as client:
        await _flood(client, request("/big"), lambda: running.recorder.total("on_finish"))
        assert held(running) < HELD, f"{held(running)} bytes of answers wait in the gateway"
        client.reset()


async def test_same_with_answers_of_a_service() -> None:
    answer = HEAD + b"Content-Length: 20000\r\n\r\n" + b"x" * 20_000

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            peer.send(answer)

    async with (
        upstream(script) as service,
        gateway(service.port) as running,
        running.client(receive_buffer=SMALL) as client,
    ):
        await _flood(client, request(), lambda: running.recorder.total("on_finish"))
        assert held(running) < HELD, f"{held(running)} bytes of answers wait in the gateway"
        client.reset()


async def test_pipelined_bytes_are_not_piled_up() -> None:
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await eventually(lambda: service.requests)
        await _flood(client, b"x" * 20_000, lambda: None)
        (connection,) = running.listener.connections
        assert len(connection.parser.rest) < HELD
        client.reset()
        (peer,) = running.pool.connections
        peer.close()


async def pour(peer: Peer) -> None:
    """More than anybody reads."""
    await peer.request()
    peer.send(HEAD + b"Content-Length: 99999999\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            peer.send(PIECE)
            await peer.writer.drain()


async def test_client_that_never_reads_is_left_in_the_end() -> None:
    settings = make_settings(idle_timeout=0.2)
    async with upstream(pour) as service, gateway(service.port, settings=settings) as running:
        async with running.client(receive_buffer=SMALL) as client:
            client.send(request())
            await running_done(running)
            await eventually(lambda: service.open == 0)
            client.reset()
        assert running.recorder.finished[0][1] == "client_gone"


async def test_client_that_reads_little_at_a_time_is_served() -> None:
    """The system holds so much for it that there is no room for more during many times the idle time."""
    settings = make_settings(idle_timeout=0.5)
    async with upstream(pour) as service, gateway(service.port, settings=settings) as running:
        async with running.client(receive_buffer=SMALL) as client:
            client.send(request())
            await client.head()
            for _ in range(400):
                assert await client.reader.readexactly(4096) == b"x" * 4096
                await asyncio.sleep(0.008)
            assert running.recorder.total("on_finish") == 0
            client.reset()
        await running_done(running)


async def running_done(running: Gateway) -> None:
    await eventually(lambda: running.recorder.total("on_finish") == 1)


async def test_service_that_takes_no_body_times_out() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await stop.wait()

    stop = asyncio.Event()
    async with (
        upstream(script, receive_buffer=SMALL) as service,
        gateway(service.port, timeouts=timeouts(body=0.2)) as running,
    ):
        async with running.client() as client:
            client.send(request("/x", b"Content-Length: 9000000", method="POST") + b"x" * 4_000_000)
            answer = await client.response()
            assert (answer.status, answer.get("connection")) == (504, "close")
            client.reset()
        stop.set()


async def test_answer_before_the_service_has_read_the_body_leaves_the_client_readable() -> None:
    """The body is all in the gateway, and the service answers without reading it: the next request must be heard."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await whole.wait()
        peer.send(OK)
        await peer.gone()

    whole = asyncio.Event()
    async with (
        upstream(script, receive_buffer=SMALL) as service,
        gateway(service.port) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Transfer-Encoding: chunked", method="POST"))
        await eventually(lambda: service.requests)
        (connection,) = running.pool.connections
        sent = 0
        while connection.transport.get_write_buffer_size() < 100_000:
            client.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
            sent += 0x8000
            before = running.recorder.exchanges[0].bytes_in
            await eventually(lambda expected=sent: running.recorder.exchanges[0].bytes_in == expected, f"{before}")
        client.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n0\r\n\r\n")
        (stream,) = running.listener.connections
        await eventually(lambda: stream.parser.complete)
        assert connection.transport.get_write_buffer_size() > 128 * 1024, "the service reads after all"
        whole.set()

        answer = await client.response()

        assert answer.body == b"ok"
        if answer.get("connection") != "close":
            assert (await client.ask(request("/ping"))).body == b"pong", "the client is heard no more"
