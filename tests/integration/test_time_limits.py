"""Time that is over, and the end of the gateway itself."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import ANSWERS
from tests.support.gateways import gateway, limits, make_settings, request, timeouts
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import OK, Peer, answering, saying, silent, upstream

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("script", "options", "error"),
    [
        (silent, {"response": 0.1}, "response_timeout"),
        (silent, {"total": 0.1}, "total_timeout"),
        (saying(HEAD + b"Content-Length: 9\r\n\r\nabc"), {"body": 0.1}, "body_timeout"),
        (saying(HEAD + b"Content-Length: 9\r\n\r\nabc"), {"total": 0.1}, "total_timeout"),
    ],
)
async def test_service_takes_too_long(script: object, options: dict[str, float], error: str) -> None:
    async with upstream(script) as service, gateway(service.port, timeouts=timeouts(**options)) as running:
        async with running.client() as client:
            client.send(request())
            answer = await client.head()
            if answer.status == 200:
                assert await client.ends() == "reset"
            else:
                assert answer.status == 504
                assert answer.get("proxy-status") == "gateway; error=http_response_timeout"
            await eventually(lambda: service.open == 0)
        await running.idle()
        assert running.recorder.finished[0][1] == error
        assert running.recorder.errors == [error]
        assert running.endpoint.errors == 1


async def test_queue_takes_too_long() -> None:
    settings = limits(max_connections=1, queue_timeout=0.1)
    async with (
        upstream(silent) as service,
        gateway(service.port, limits=settings) as running,
        running.client() as first,
        running.client() as second,
    ):
        first.send(request())
        await eventually(lambda: service.requests)
        answer = await second.ask(request())
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert answer.get("proxy-status") == "gateway; error=connection_limit_reached"


async def test_queue_is_full() -> None:
    settings = limits(max_connections=1, max_queue=1, queue_timeout=5.0)
    async with (
        upstream(silent) as service,
        gateway(service.port, limits=settings) as running,
        running.client() as first,
        running.client() as second,
        running.client() as third,
    ):
        first.send(request())
        await eventually(lambda: service.requests)
        second.send(request())
        await eventually(lambda: running.pool.queue)
        answer = await third.ask(request())
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert running.recorder.finished == [(503, "queue_full", "UO")]


async def test_client_is_too_slow_with_its_body() -> None:
    settings = make_settings(body_timeout=0.1)
    async with upstream(silent) as service, gateway(service.port, settings=settings) as running:
        async with running.client() as client:
            client.send(request("/x", b"Content-Length: 10", method="POST") + b"abc")
            answer = await client.response()
            assert (answer.status, answer.get("connection")) == (408, "close")
            assert await client.rest() == b""
            await eventually(lambda: service.open == 0)
        assert running.recorder.finished[0][1] == "request_timeout"
        assert running.endpoint.errors == 0, "a slow client is no error of the service"


async def test_time_of_a_pipelined_request_is_its_own() -> None:
    """The second request's limit must not be replaced by the limit of an idle connection."""
    pieces = iter([OK, b""])

    async def script(peer: Peer) -> None:
        for piece in pieces:
            await peer.request()
            peer.send(piece)
        await peer.gone()

    async with (
        upstream(script) as service,
        gateway(service.port, timeouts=timeouts(response=0.2)) as running,
        running.client() as client,
    ):
        client.send(request("/1") + request("/2"))
        assert (await client.response()).status == 200
        assert (await client.response()).status == 504


async def test_time_of_a_pipelined_head_is_its_own() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=make_settings(head_timeout=0.2)) as running,
        running.client() as client,
    ):
        client.send(request("/1") + b"GET /2 HT")
        assert (await client.response()).status == 200
        assert (await client.response()).status == 408


async def test_idle_connection_is_closed_without_a_word() -> None:
    settings = make_settings(idle_timeout=0.1)
    async with upstream(answering) as service, gateway(service.port, settings=settings) as running:
        async with running.client() as client:
            assert (await client.ask(request())).status == 200
            assert await client.rest() == b""
        assert running.recorder.total("on_finish") == 1


async def test_stopping_closes_after_the_answer() -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await soon(begun.wait())
        peer.send(OK)
        await peer.gone()

    async with (
        upstream(script) as service,
        gateway(service.port) as running,
        running.client() as idle,
        running.client() as busy,
    ):
        assert (await idle.ask(request("/ping"))).status == 200
        busy.send(request())
        await eventually(lambda: service.requests)
        running.proxy.stopping = True
        running.listener.stop_accepting()
        assert await idle.rest() == b""
        begun.set()
        answer = await busy.response()
        assert (answer.body, answer.get("connection")) == (b"ok", "close")
        assert await busy.rest() == b""


async def test_what_is_left_at_the_end_is_cut() -> None:
    async with upstream(silent) as service, gateway(service.port) as running, running.client() as client:
        client.send(request())
        await eventually(lambda: service.requests)
        running.listener.stop_accepting()
        running.listener.abort()
        assert await client.ends() == "reset"
        await eventually(lambda: service.open == 0)
        await running.idle()


def test_every_failure_has_an_answer() -> None:
    assert all(400 <= answer.status < 600 for answer in ANSWERS.values())
