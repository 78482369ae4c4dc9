"""What another attempt sends of the request's body: all of it, once, or there is no other attempt."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Kind
from tests.support.gateways import gateway, make_settings, request, timeouts
from tests.support.messages import read_body
from tests.support.misbehaving import CHUNKED, closing, exchange_of, resetting, retry, status
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, Script, echoing, saying, silent, upstream
from tests.support.recording import ReadsResponse


@pytest.mark.parametrize("fields", [(), (CHUNKED,)])
@pytest.mark.parametrize("script", [closing, resetting, saying(status(503)), silent])
async def test_whole_body_is_sent_again(script: Script, fields: tuple[bytes, ...]) -> None:
    body = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n" if fields else b"abcdefg"
    async with (
        upstream(script) as bad,
        upstream(echoing) as good,
        gateway(bad.port, good.port, retries=retry(per_try=0.3)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request("/x", *fields, method="PUT", body=body))
        assert answer.body == bad.requests[0].body == b"abcdefg"
        assert good.requests[0].fields == bad.requests[0].fields
        assert exchange_of(running).bytes_in == 7


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("how", ["reset", "status", "refused"])
@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_body_that_is_still_arriving(chunked: bool, how: str, when: str, unused_tcp_port: int) -> None:
    """More of it comes before the first attempt fails, while nothing is under way, or to the second attempt."""
    go = asyncio.Event()

    async def failing(peer: Peer) -> None:
        await peer.head()
        await go.wait()
        if how == "status":
            peer.send(status(503, b"Retry-After: 1") if when == "during" else status(503))
            await peer.gone()
        else:
            peer.reset()

    async def taking(peer: Peer) -> None:
        message = await peer.head()
        await read_body(peer.reader, message)
        peer.send(OK)
        await peer.gone()

    framing = CHUNKED if chunked else b"Content-Length: 9"
    pieces = [b"abc", b"def", b"ghi"]
    wire = [b"3\r\n%b\r\n" % piece if chunked else piece for piece in pieces]
    retries = retry(base=0.3 if when == "during" else 0.0, longest=0.3, max_retry_after=1.0)
    async with upstream(failing) as bad, upstream(taking) as good:
        first = unused_tcp_port if how == "refused" else bad.port
        async with gateway(first, good.port, retries=retries) as running, running.client() as client:
            client.send(request("/x", framing, method="PUT") + wire[0])
            await eventually(lambda: bad.requests or (how == "refused" and running.recorder.exchanges))
            if when == "before":
                client.send(wire[1])
                await eventually(lambda: exchange_of(running).bytes_in == 6)
            go.set()
            if when == "during":
                await eventually(lambda: running.recorder.total("on_attempt_end") == 1)
                client.send(wire[1])
                await eventually(lambda: exchange_of(running).bytes_in == 6)
            await eventually(lambda: good.requests)
            if when == "after":
                client.send(wire[1])
                await eventually(lambda: exchange_of(running).bytes_in == 6)
            client.send(wire[2] + (b"0\r\n\r\n" if chunked else b""))
            assert (await client.response()).body == b"ok"
            assert good.requests[0].body == b"abcdefghi"
            assert running.recorder.total("on_attempt") == 2


@pytest.mark.parametrize("script", [closing, saying(status(503))])
@pytest.mark.parametrize(("size", "again"), [(10, True), (11, False)])
@pytest.mark.parametrize("fields", [(), (CHUNKED,)])
async def test_body_up_to_the_cap_is_kept(script: Script, size: int, again: bool, fields: tuple[bytes, ...]) -> None:
    body = b"x" * size
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if fields else body
    async with (
        upstream(script) as bad,
        upstream(echoing) as good,
        gateway(bad.port, good.port, retries=retry(replay=10)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request("/x", *fields, method="PUT", body=sent))
        assert (answer.status == 200) == (len(good.requests) == 1) == again
        assert bad.requests[0].body == body
        if again:
            assert answer.body == body


@pytest.mark.parametrize("how", ["reset", "status"])
async def test_body_that_outgrows_the_cap_on_its_way_is_not_sent_again(how: str) -> None:
    async def failing(peer: Peer) -> None:
        message = await peer.head()
        await read_body(peer.reader, message)
        if how == "reset":
            peer.reset()
        else:
            peer.send(status(503))
            await peer.gone()

    async with (
        upstream(failing) as bad,
        upstream(echoing) as good,
        gateway(bad.port, good.port, retries=retry(replay=10)) as running,
        running.client() as client,
    ):
        client.send(request("/x", CHUNKED, method="PUT") + b"8\r\n12345678\r\n")
        await eventually(lambda: bad.requests)
        client.send(b"8\r\n12345678\r\n0\r\n\r\n")
        assert (await client.response()).status == (502 if how == "reset" else 503)
        assert not good.requests


async def test_body_is_kept_while_a_plugin_reads_the_answer() -> None:
    """The answer's head is here, and nothing of it has gone to the client yet: one that breaks off can be tried
    again, with all of the request's body."""
    broken = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=True)
    async with (
        upstream(broken) as bad,
        upstream(echoing) as good,
        gateway(bad.port, good.port, retries=retry(), plugins=[ReadsResponse()]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request(method="PUT", body=b"hello"))).body == b"hello"
        assert running.recorder.errors == ["upstream_incomplete", None]


SIZE = 16 << 20


@pytest.mark.parametrize("first_reads", [True, False])
@pytest.mark.parametrize("second_reads", [True, False])
async def test_slow_readers_hold_the_client_back(first_reads: bool, second_reads: bool) -> None:
    """Whatever the first attempt took goes to the second one at once, and may be more than its socket takes."""
    go = asyncio.Event()

    async def failing(peer: Peer) -> None:
        await peer.head()
        if first_reads:
            await peer.reader.readexactly(6 << 20)
        else:
            await eventually(lambda: exchange_of(running).upstream_congested)
        peer.reset()

    async def taking(peer: Peer) -> None:
        message = await peer.head()
        if not second_reads:
            await go.wait()
        await read_body(peer.reader, message)
        peer.send(OK)
        await peer.gone()

    body = bytes(range(256)) * (SIZE // 256)
    async with (
        upstream(failing, None if first_reads else 4096) as bad,
        upstream(taking, None if second_reads else 4096) as good,
        gateway(bad.port, good.port, retries=retry(replay=SIZE), settings=make_settings(request_body=SIZE)) as running,
        running.client() as client,
    ):
        client.send(request(method="PUT", body=body))
        await eventually(lambda: good.requests)
        exchange = exchange_of(running)
        if not second_reads and first_reads:
            assert (exchange.upstream_congested, exchange.waiting) == (True, Kind.BODY_TIMEOUT)
            assert not exchange.client.transport.is_reading()  # type: ignore[union-attr]
        go.set()
        assert (await client.response()).body == b"ok"
        assert not exchange.upstream_congested
        assert good.requests[0].body == body


# 100-continue


@pytest.mark.parametrize("how", ["reset", "status"])
async def test_first_attempt_fails_before_it_has_asked_for_the_body(how: str) -> None:
    async def failing(peer: Peer) -> None:
        await peer.head()
        if how == "status":
            peer.send(status(503))
            await peer.gone()

    async def asking(peer: Peer) -> None:
        message = await peer.head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await read_body(peer.reader, message)
        peer.send(OK)
        await peer.gone()

    async with (
        upstream(failing) as bad,
        upstream(asking) as good,
        gateway(bad.port, good.port, retries=retry()) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Expect: 100-continue", b"Content-Length: 3", method="PUT"))
        assert (await client.head()).status == 100
        client.send(b"abc")
        assert (await client.response()).body == b"ok"
        assert (bad.requests[0].body, good.requests[0].body) == (b"", b"abc")


async def test_client_is_told_once_to_continue() -> None:
    async def asking(peer: Peer) -> None:
        message = await peer.head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await read_body(peer.reader, message)
        peer.send(status(503) if not good.requests else OK)
        await peer.gone()

    async with (
        upstream(asking) as bad,
        upstream(asking) as good,
        gateway(bad.port, good.port, retries=retry()) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Expect: 100-continue", b"Content-Length: 3", method="PUT"))
        assert (await client.head()).status == 100
        client.send(b"abc")
        assert (await client.response()).body == b"ok", "and not a second 100"
        assert (bad.requests[0].body, good.requests[0].body) == (b"abc", b"abc")


async def test_100_for_a_body_that_is_here_does_not_change_whose_time_runs() -> None:
    async def asking(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.gone()

    settings = make_settings(body_timeout=30.0)
    async with (
        upstream(asking) as service,
        gateway(service.port, settings=settings, timeouts=timeouts(response=0.2)) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Expect: 100-continue", method="PUT", body=b"abc"))
        assert (await client.response()).status == 504
