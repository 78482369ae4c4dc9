"""Server-Sent Events, and every answer whose length nobody knows: what is sent is there before more is sent."""

import asyncio
from pathlib import Path

import pytest

from tests.support.gateways import request
from tests.support.polling import eventually, soon
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import Peer, upstream
from tests.support.runtimes import HEAD, running

PLUGINS = """
plugins:
  - compression: {min_size: 1B, types: ["text/*", application/json, application/x-ndjson, text/event-stream]}
  - rate_metrics
  - breaker: {fallback: {text: instead, stale: {for: 60s}}}
  - transform: {remove: [secret]}
  - tracing_ids
"""
UP = "upstreams: {{up: {{endpoints: ['http://127.0.0.1:{port}'], timeouts: {{body: {body}}}}}}}\n"
ROUTE = "routes: [{name: all, to: up}]\n"
ASK = request("/events", b"Accept: text/event-stream", b"Accept-Encoding: gzip, br, zstd", b"Last-Event-ID: 7")
EVENTS = [
    b"retry: 100\n\n",
    b": a comment\n\n",
    b'id: 8\ndata: {"a": 1}\n\n',
    b"data: half of ",
    b"one\n\n",
    b"x" * 70_000,
]


def config(port: int, body: str = "30s", plugins: str = PLUGINS, top: str = "") -> str:
    return HEAD + top + plugins + UP.format(port=port, body=body) + ROUTE


async def chunk(client: RawClient) -> bytes:
    """The next chunk of a body; empty at its end."""
    size = int(await soon(client.reader.readline()), 16)
    data = await client.read(size)
    assert await client.read(2) == b"\r\n"
    return data


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("kind", ["text/event-stream; charset=utf-8", "application/x-ndjson", "text/plain"])
async def test_each_piece_is_there_before_the_next_is_sent(tmp_path: Path, kind: str, chunked: bool) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        head = await peer.head()
        assert head.get("Last-Event-ID") == "7"
        coding = "Transfer-Encoding: chunked" if chunked else "Connection: close"
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{coding}\r\n\r\n".encode())
        for event in EVENTS:
            peer.send(b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)
            assert await soon(arrived.get()) == event
        peer.send(b"0\r\n\r\n" if chunked else b"")
        peer.close()

    async with (
        upstream(script) as service,
        running(tmp_path, config(service.port)) as worker,
        worker.client() as client,
    ):
        client.send(ASK)
        head = await client.head()
        assert (head.status, head.get("Content-Encoding"), head.get("Content-Length")) == (200, None, None)
        assert head.get("Content-Type") == kind
        for event in EVENTS:
            heard = b""
            while len(heard) < len(event):
                heard += await chunk(client)
            arrived.put_nowait(heard)
        assert await chunk(client) == b""


async def test_the_head_does_not_wait_for_the_first_event(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await soon(go.wait())
        peer.close()

    async with (
        upstream(script) as service,
        running(tmp_path, config(service.port)) as worker,
        worker.client() as client,
    ):
        client.send(ASK)
        assert (await client.head()).status == 200
        go.set()
        assert await chunk(client) == b""


async def test_a_quiet_stream_is_cut_when_its_time_between_slices_is_over(tmp_path: Path) -> None:
    """Comments keep it alive. A reset is an error to an EventSource, which asks again."""

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
        await peer.gone()

    async with (
        upstream(script) as service,
        running(tmp_path, config(service.port, body="300ms")) as worker,
        worker.client() as client,
    ):
        client.send(ASK)
        assert (await client.head()).status == 200
        assert await chunk(client) == b": hello\n\n"
        assert await client.ends() == "reset"
        await eventually(lambda: worker.runtime.proxy.active == 0)


async def test_a_stop_lets_it_go_on_until_the_deadline(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
        await soon(go.wait())
        peer.send(b"data: last\n\n")
        await peer.gone()

    top = "timeouts: {drain: 300ms}\n"
    async with (
        upstream(script) as service,
        running(tmp_path, config(service.port, top=top)) as worker,
        worker.client() as client,
    ):
        client.send(ASK)
        assert (await client.head()).status == 200
        assert await chunk(client) == b": hello\n\n"
        stopped = asyncio.create_task(worker.runtime.drain())
        go.set()
        assert await chunk(client) == b"data: last\n\n"
        assert await client.ends() == "reset", "nobody takes it for whole"
        await soon(stopped)
