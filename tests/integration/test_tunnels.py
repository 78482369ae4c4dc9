"""WebSockets through proxied routes: what either side sends arrives as it was, whatever the other does meanwhile."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.routing.actions import Forward, WebSockets
from gateway.telemetry.metrics import Gauge
from tests.integration.test_backpressure import HELD, SMALL, stands_still
from tests.support.gateways import Gateway, gateway, limits, request
from tests.support.polling import eventually, soon, turns
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import Peer, upstream
from tests.test_tunnelling import ASKS, SWITCH

PATHS = [("/**", Forward((("up", 1),), websockets=WebSockets(Gauge())))]


def frames(choose: random.Random, size: int) -> bytes:
    """Frames of every kind and length, masked or not, with their extension bits: about so many bytes."""
    text = b""
    while len(text) < size:
        length = choose.choice([0, 1, 5, 125, 126, 127, 1000, 65535, 65536, 200_000])
        masked = choose.choice([0, 128])
        head = bytes([choose.getrandbits(8)])
        if length < 126:
            head += bytes([masked | length])
        elif length < 65536:
            head += bytes([masked | 126]) + struct.pack("!H", length)
        else:
            head += bytes([masked | 127]) + struct.pack("!Q", length)
        text += head + choose.randbytes(length + (4 if masked else 0))
    return text


async def say(choose: random.Random, writer: asyncio.StreamWriter, text: bytes) -> None:
    """In pieces of any size, with pauses."""
    at = 0
    while at < len(text):
        size = choose.choice([1, 2, 7, 100, 5000, 70_000])
        writer.write(text[at : at + size])
        at += size
        await writer.drain()
        await turns(choose.choice([0, 0, 1, 5]))


async def hear(choose: random.Random, reader: asyncio.StreamReader, size: int) -> bytes:
    """In pieces of any size, with pauses; less than `size` where the other side ends before."""
    text = b""
    while len(text) < size:
        await turns(choose.choice([0, 0, 1, 5, 30]))
        part = await soon(reader.read(choose.choice([10, 4000, 100_000])))
        if not part:
            break
        text += part
    return text


class Talk:
    """A client and a service, each with what it is to say, joined by a tunnel."""

    def __init__(self, running: Gateway, client: RawClient, peer: Peer) -> None:
        self.running, self.client, self.peer = running, client, peer
        (self._near,) = running.listener.connections
        self._far = self._near.exchange.attempt.connection
        self.exchange = self._near.exchange
        for end in (self._near, self._far):
            # What the kernel does not hold waits in the gateway.
            end.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)

    def held(self) -> int:
        """The most bytes that wait in the gateway, of either direction."""
        ends = [end.transport for end in (self._near, self._far) if end.transport is not None]
        return max((end.get_write_buffer_size() for end in ends), default=0)


@asynccontextmanager
async def talking(receive_buffer: int | None = SMALL) -> AsyncIterator[Talk]:
    there: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH)
        there.set_result(peer)
        await over.wait()

    async with (
        upstream(script, receive_buffer=receive_buffer) as service,
        gateway(service.port, paths=PATHS) as running,
        running.client(receive_buffer=receive_buffer) as client,
    ):
        client.send(request("/x", *ASKS))
        assert (await client.head()).status == 101
        try:
            yield Talk(running, client, await soon(there))
        finally:
            over.set()


@pytest.mark.parametrize("seed", range(4))
async def test_both_streams_arrive_as_they_were_sent(seed: int) -> None:
    choose = random.Random(seed)
    async with talking() as talk:
        ours, theirs = frames(choose, 900_000), frames(choose, 900_000)
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, talk.held())
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        heard, answered, *_ = await asyncio.gather(
            hear(choose, talk.peer.reader, len(ours)),
            hear(choose, talk.client.reader, len(theirs)),
            say(choose, talk.client.writer, ours),
            say(choose, talk.peer.writer, theirs),
        )
        watching.cancel()
        assert heard == ours
        assert answered == theirs
        assert 0 < most < HELD
        assert (talk.exchange.bytes_in, talk.exchange.bytes_out) == (len(ours), len(theirs))


@pytest.mark.parametrize("client_leaves", [True, False])
async def test_what_was_sent_before_one_left_arrives_when_the_other_reads_again(client_leaves: bool) -> None:
    """The one that leaves has sent all and closed before the other reads the first byte."""
    choose = random.Random(client_leaves)
    async with talking() as talk:
        text = frames(choose, 200_000)
        leaves, stays = (talk.client, talk.peer) if client_leaves else (talk.peer, talk.client)
        stays.reader._transport.pause_reading()  # type: ignore[attr-defined]
        leaves.writer.write(text)
        leaves.writer.close()
        await stands_still(talk.held)
        stays.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert await hear(choose, stays.reader, len(text) + 1) == text
    outcome = (101, "client_gone", "DC") if client_leaves else (101, "answered", "-")
    assert talk.running.recorder.finished == [outcome]


@pytest.mark.parametrize("client_dies", [True, False])
async def test_one_that_dies_leaves_nothing_wrong_behind(client_dies: bool) -> None:
    choose = random.Random(client_dies)
    async with talking(None) as talk:
        text = frames(choose, 1 << 20)
        dies, stays = (talk.client, talk.peer) if client_dies else (talk.peer, talk.client)
        dies.writer.write(text)
        dies.reset()
        heard = b""
        try:
            while part := await soon(stays.reader.read(10_000)):
                heard += part
        except ConnectionError:
            assert client_dies
        assert text.startswith(heard)


@pytest.mark.parametrize("client_stalls", [True, False])
async def test_one_that_does_not_read_stalls_the_other(client_stalls: bool) -> None:
    async with talking() as talk:
        stalls, sends = (talk.client, talk.peer) if client_stalls else (talk.peer, talk.client)
        stalls.reader._transport.pause_reading()  # type: ignore[attr-defined]
        sends.writer.write(bytes(16 << 20))
        left: Callable[[], int] = sends.writer.transport.get_write_buffer_size
        await stands_still(left)
        assert left() > 0, "all was taken in"
        assert 0 < talk.held() < HELD
        # The other direction goes on.
        stalls.writer.write(b"\x81\x02hi")
        assert await soon(sends.reader.readexactly(4)) == b"\x81\x02hi"
        sends.writer.transport.abort()
        stalls.reader._transport.resume_reading()  # type: ignore[attr-defined]


async def test_requests_do_not_wait_for_tunnels_to_end() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH)
        await peer.gone()

    one_at_a_time = limits(max_connections=1, max_queue=0)
    async with (
        upstream(script) as service,
        gateway(service.port, paths=PATHS, limits=one_at_a_time) as running,
        running.client() as one,
        running.client() as two,
    ):
        for client in (one, two):
            client.send(request("/x", *ASKS))
            assert (await client.head()).status == 101
        assert (running.pool.active, running.endpoint.in_flight) == (0, 2)


async def test_silence_ends_it() -> None:
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH)
        assert await peer.reader.readexactly(6) == b"\x88\x80mask"
        over.set()

    paths: Any = [("/**", Forward((("up", 1),), websockets=WebSockets(Gauge(), idle=0.05)))]
    async with upstream(script) as service, gateway(service.port, paths=paths) as running, running.client() as client:
        client.send(request("/x", *ASKS))
        assert (await client.head()).status == 101
        assert await client.read(4) == b"\x88\x02\x03\xe9"
        client.send(b"\x88\x80mask")
        assert await client.rest() == b""
        await soon(over.wait())
        await running.idle()
        assert running.recorder.finished == [(101, "answered", "-")]


async def test_the_route_has_room_for_so_many() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(SWITCH)
        await peer.gone()

    count = Gauge()
    paths: Any = [("/**", Forward((("up", 1),), websockets=WebSockets(count, limit=1)))]
    async with upstream(script) as service, gateway(service.port, paths=paths) as running, running.client() as other:
        async with running.client() as client:
            client.send(request("/x", *ASKS))
            assert (await client.head()).status == 101
            refused = await other.ask(request("/x", *ASKS))
            assert (refused.status, refused.get("Retry-After"), service.connections) == (503, "1", 1)
            assert b"this route allows 1 WebSockets at a time" in refused.body
        await eventually(lambda: count.value == 0)
        other.send(request("/x", *ASKS))
        assert (await other.head()).status == 101


async def test_those_that_were_let_in_at_the_same_time_are_counted_too() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await go.wait()
        peer.send(SWITCH)
        await peer.gone()

    paths: Any = [("/**", Forward((("up", 1),), websockets=WebSockets(Gauge(), limit=1)))]
    async with (
        upstream(script) as service,
        gateway(service.port, paths=paths) as running,
        running.client() as one,
        running.client() as two,
    ):
        for client in (one, two):
            client.send(request("/x", *ASKS))
        await eventually(lambda: len(service.requests) == 2)
        go.set()
        statuses = [(await client.head()).status for client in (one, two)]
        assert sorted(statuses) == [101, 503]
