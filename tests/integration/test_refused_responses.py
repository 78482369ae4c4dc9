"""What a service may not answer: 502 while that can still be said, a broken connection after, and no reuse."""

from __future__ import annotations

import pytest

from gateway.plugin import Exchange, ResponseHead
from tests.support.gateways import gateway, limits, request, timeouts
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, answering, in_turn, saying, upstream
from tests.support.recording import Editor

HEAD = b"HTTP/1.1 200 OK\r\n"
MALFORMED = {
    "CL and TE": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "two equal lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "length list": HEAD + b"Content-Length: 2, 2\r\n\r\nok",
    "length with a sign": HEAD + b"Content-Length: +2\r\n\r\nok",
    "length empty": HEAD + b"Content-Length: \r\n\r\nok",
    "length over 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nok",
    "TE gzip": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "TE gzip, chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "NUL in a value": HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "control byte in a value": HEAD + b"X: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "bare LF": HEAD + b"X: a\nY: b\r\nContent-Length: 0\r\n\r\n",
    "bare LFs": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR": HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "obs-fold": HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "folded after the first line": HEAD + b" X: a\r\nContent-Length: 0\r\n\r\n",
    "blank before colon": HEAD + b"X : a\r\nContent-Length: 0\r\n\r\n",
    "a name that is no token": HEAD + b"X(: a\r\nContent-Length: 0\r\n\r\n",
    "no colon": HEAD + b"XYZ\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\n\r\n" + OK,
    "status 000": b"HTTP/1.1 000 X\r\n\r\n" + OK,
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "status -1": b"HTTP/1.1 -1 X\r\nContent-Length: 0\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "101 unasked, bare": b"HTTP/1.1 101 Switching Protocols\r\n\r\nabc",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"hello",
    "no HTTP": b"220 smtp.example.com ESMTP\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "interim with a body": b"HTTP/1.1 110 X\r\nContent-Length: 5\r\n\r\nhello" + OK,
    "interim with chunks": b"HTTP/1.1 110 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + OK,
    "chunk size with a sign": HEAD + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    "empty": b"",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_head_is_502(answer: bytes) -> None:
    async with upstream(in_turn(saying(answer, close=True), answering)) as service, gateway(service.port) as running:
        async with running.client() as client:
            got = await client.ask(request("/x", method="POST"))

            if got.status == 200:  # the head was well formed and had gone when the malformed body came
                assert answer.startswith(HEAD + b"Transfer-Encoding: chunked")
                pytest.fail("answered as if it were whole")
            assert got.status == 502
            assert (got.get("proxy-status") or "").startswith("gateway; error=")
            assert b"127.0.0.1" not in got.body
            assert (await client.ask(request("/x", method="POST"))).body == b"ok", (
                "the client's connection is still good"
            )
        assert service.connections == 2
        assert running.endpoint.errors == 1


@pytest.mark.parametrize("reason", [b"O\x01K", b"\xe9", b"\x7f", b"a\tb"])
async def test_reason_that_is_not_printable_is_replaced(reason: bytes) -> None:
    answer = b"HTTP/1.1 200 " + reason + b"\r\nContent-Length: 2\r\n\r\nok"
    async with upstream(saying(answer)) as service, gateway(service.port) as running, running.client() as client:
        got = await client.ask(request())
        assert got.first in (b"HTTP/1.1 200 OK", b"HTTP/1.1 502 Bad Gateway")


SURPLUS = {
    "a letter": OK + b"x",
    "a line": OK + b"\r\n",
    "a second answer": OK + OK,
    "a second head begun": OK + b"HTTP/1.1 200",
    "204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "304 with a body": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
    "204 with chunks": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "after the last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nx",
    "closed by the service": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok" + OK,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("answer", SURPLUS.values(), ids=SURPLUS)
async def test_connection_with_surplus_is_not_used_again(answer: bytes) -> None:
    async with upstream(in_turn(saying(answer), answering)) as service, gateway(service.port) as running:
        async with running.client() as client:
            first = await client.ask(request())
            assert first.status in (200, 204, 304)
            assert first.body in (b"ok", b"")

            assert (await client.ask(request())).body == b"ok"
        assert service.connections == 2


async def test_head_answered_with_a_body() -> None:
    async with upstream(in_turn(saying(OK), answering)) as service, gateway(service.port) as running:
        async with running.client() as client:
            first = await client.ask(request(method="HEAD"), "HEAD")
            assert (first.status, first.get("content-length")) == (200, "2")

            assert (await client.ask(request())).body == b"ok"
        assert service.connections == 2


@pytest.mark.parametrize("stray", [b"x", b"\r\n", OK])
async def test_idle_connection_on_which_a_byte_comes_is_closed(stray: bytes) -> None:
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await answering(peer)

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request())).status == 200
        assert len(running.pool.idle) == 1

        peers[0].send(stray)

        await eventually(lambda: not running.pool.connections)
        assert (await client.ask(request())).body == b"ok"
        assert service.connections == 2


async def test_304_with_a_length_leaves_the_connection_in_order() -> None:
    pieces = iter([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", OK])

    async def script(peer: Peer) -> None:
        for piece in pieces:
            await peer.request()
            peer.send(piece)
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        first = await client.ask(request())
        assert (first.status, first.get("content-length")) == (304, "5")
        assert (await client.ask(request())).body == b"ok"
        assert service.connections == 1


@pytest.mark.parametrize("way", ["at once", "dripping", "many interim heads", "long reason"])
async def test_head_too_large(way: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if way == "many interim heads":
            peer.send(b"HTTP/1.1 103 E\r\nX: " + b"a" * 500 + b"\r\n\r\n")
            for _ in range(20):
                peer.send(b"HTTP/1.1 103 E\r\nX: " + b"a" * 500 + b"\r\n\r\n")
                await peer.writer.drain()
        elif way == "long reason":
            peer.send(b"HTTP/1.1 200 " + b"a" * 5000 + b"\r\nContent-Length: 0\r\n\r\n")
        elif way == "at once":
            peer.send(HEAD + b"X: " + b"a" * 5000 + b"\r\nContent-Length: 2\r\n\r\nok")
        else:
            peer.send(HEAD)
            for _ in range(100):
                peer.send(b"X: " + b"a" * 100 + b"\r\n")
                await peer.writer.drain()
        await peer.gone()

    async with upstream(script) as service, gateway(service.port, limits=limits(head_limit=4096)) as running:
        async with running.client() as client:
            client.send(request())
            answer = await client.head()
            while answer.status == 103:
                answer = await client.head()
            assert answer.status == 502
            assert "error=http_response_header_section_size" in (answer.get("proxy-status") or "")
        assert running.pool.connections == set()


async def test_endless_trailers_are_not_kept() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
        for _ in range(2000):
            peer.send(b"X-Trailer: " + b"a" * 1000 + b"\r\n")
            await peer.writer.drain()
        await peer.gone()

    async with upstream(script) as service, gateway(service.port, timeouts=timeouts(body=3.0)) as running:
        async with running.client() as client:
            client.send(request())

            assert await client.ends() == "reset"
        assert running.recorder.finished[0][1] != "body_timeout", "2 MB of trailers were taken in"


BROKEN = {
    "length, closed": (HEAD + b"Content-Length: 10\r\n\r\nabc", False),
    "length, reset": (HEAD + b"Content-Length: 10\r\n\r\nabc", True),
    "chunks, closed": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False),
    "chunks, closed in a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc", False),
    "chunks, closed before the very end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", False),
    "chunks, reset": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", True),
    "until the end, reset": (HEAD + b"\r\nabc", True),
    "chunks, then garbage": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n", False),
}


@pytest.mark.parametrize(("answer", "reset"), BROKEN.values(), ids=BROKEN)
async def test_body_cut_short_never_looks_complete(answer: bytes, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        head, mark, body = answer.partition(b"abc")
        peer.send(head + mark)
        await peer.writer.drain()
        await arrived()
        peer.send(body)
        await peer.writer.drain()
        if reset:
            peer.reset()

    async def arrived() -> None:
        await eventually(lambda: any(exchange.bytes_out == 3 for exchange in running.recorder.exchanges))

    async with upstream(script) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(request())
            head = await client.head()
            assert head.status == 200

            assert await client.ends() == "reset"
        await running.idle()
        assert running.recorder.finished[0][1] in ("upstream_incomplete", "upstream_malformed")
        assert running.recorder.errors == [running.recorder.finished[0][1]]


async def test_gateway_closes_its_side_after_an_early_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        ended.append(await peer.gone())

    ended: list[str] = []
    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        client.send(request("/x", b"Content-Length: 1000", method="POST") + b"abc")
        answer = await client.response()
        assert (answer.status, answer.body, answer.get("connection")) == (403, b"no", "close")
        assert await client.rest() == b""
        await eventually(lambda: ended)
        assert not running.pool.connections


@pytest.mark.parametrize("line", [b"Set-Cookie: a\rSet-Cookie: b", b"X: a\r\r\nY: b", b"X: \x0d\x0a\x0d\x0a<html>"])
async def test_response_splitting_through_a_field(line: bytes) -> None:
    answer = HEAD + line + b"\r\nContent-Length: 2\r\n\r\nok"
    async with (
        upstream(in_turn(saying(answer, close=True), answering)) as service,
        gateway(service.port) as running,
        running.client() as client,
    ):
        client.send(request())
        raw = await client.head()
        assert raw.status == 502 or "<html>" not in raw.head.decode("latin-1")


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "a\0b", "a\rb"])
async def test_plugin_cannot_split_a_response(value: str) -> None:
    def edit(exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set("X-Edit", value)

    async with (
        upstream(answering) as service,
        gateway(service.port, plugins=[Editor(edit)]) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert answer.status == 500
        assert answer.get("x-edit") is None


def _drop_length(exchange: Exchange, head: ResponseHead) -> None:
    head.headers.remove("content-length")


def _wrong_length(exchange: Exchange, head: ResponseHead) -> None:
    head.headers.set("Content-Length", "1")


def _chunked(exchange: Exchange, head: ResponseHead) -> None:
    head.headers.set("Transfer-Encoding", "chunked")


def _no_content(exchange: Exchange, head: ResponseHead) -> None:
    head.status = 204


def _not_modified(exchange: Exchange, head: ResponseHead) -> None:
    head.status = 304


@pytest.mark.parametrize("edit", [_drop_length, _wrong_length, _chunked, _no_content, _not_modified])
@pytest.mark.parametrize("at_once", [True, False])
async def test_plugin_cannot_break_the_framing_of_a_response(edit: object, at_once: bool) -> None:
    """Whatever it does to the head, the next answer on the connection begins where this one ends."""
    whole = HEAD + b"Content-Length: 10\r\n\r\n0123456789"
    pieces = [whole] if at_once else [whole[:-5], whole[-5:]]
    async with (
        upstream(saying(*pieces)) as service,
        gateway(service.port, plugins=[Editor(edit)]) as running,
        running.client() as client,
    ):
        client.send(request())
        first = await client.response()
        assert first.body == (b"" if first.status in (204, 304) else b"0123456789") or first.status >= 500
        if first.get("connection") != "close":
            second = await client.ask(request("/ping"))
            assert second.status in (first.status, 200)
