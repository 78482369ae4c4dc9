"""Calls of plugins to upstreams, over real sockets: pooled, bounded, and counted like those of clients."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.control import UpstreamCaller
from gateway.errors import GatewayError, Kind
from gateway.upstreams.outliers import OutlierPolicy
from tests.support.gateways import Gateway, gateway, limits, request
from tests.support.misbehaving import InOrder, closing, status
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import OK, Peer, Script, answering, echoing, in_turn, saying, silent, upstream
from tests.support.runtimes import HEAD, running, write_plugin

Result = TypeVar("Result")


def caller(running_gateway: Gateway) -> UpstreamCaller:
    return UpstreamCaller(running_gateway.proxy, "up")


async def failing(call: Awaitable[Any]) -> Kind:
    with pytest.raises(GatewayError) as caught:
        await soon(call)
    return caught.value.kind


async def test_an_answer() -> None:
    answer = (
        b"HTTP/1.1 203 Fine\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    async with upstream(saying(answer)) as service, gateway(service.port) as up:
        reply = await soon(caller(up).request("GET", "/check?a=b", {"X-Token": "t"}))
        assert (reply.status, reply.body, reply.headers["x-a"]) == (203, b"hello", "1, 2")
        await soon(caller(up).request("HEAD", "/"))
        assert service.connections == 1, "the connection is used again"
        assert (up.endpoint.requests, up.endpoint.errors, up.endpoint.in_flight) == (2, 0, 0)
    head = service.requests[0]
    assert head.first == b"GET /check?a=b HTTP/1.1"
    assert (head.get("host"), head.get("x-token")) == (f"127.0.0.1:{service.port}", "t")


async def test_cookies_stand_apart() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1, x\r\nX: 1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    async with upstream(in_turn(saying(answer, close=True), answering)) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/"))).cookies == ("a=1, x", "b=2")
        assert (await soon(caller(up).request("GET", "/"))).cookies == ()


@pytest.mark.parametrize("method", ["GET", "M-SEARCH", "PROPFIND", "PURGE"])
async def test_any_method_that_http_allows(method: str) -> None:
    async with upstream(answering) as service, gateway(service.port) as up:
        await soon(caller(up).request(method, "/"))
    assert service.requests[0].first == f"{method} / HTTP/1.1".encode()


async def test_a_body() -> None:
    async with upstream(echoing) as service, gateway(service.port) as up:
        fields = {"Host": "own", "Content-Length": "999", "Transfer-Encoding": "chunked"}
        assert (await soon(caller(up).request("POST", "/", fields, b"abc"))).body == b"abc"
        assert (await soon(caller(up).request("POST", "/"))).body == b""
    assert [message.get("content-length") for message in service.requests] == ["3", "0"]
    assert service.requests[0].get("host") == "own"


async def test_interim_answers_are_skipped() -> None:
    async with upstream(saying(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK)) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/"))).status == 200


async def test_what_is_no_answer() -> None:
    async def hanging_up(peer: Peer) -> None:
        await peer.request()

    scripts = in_turn(
        hanging_up,
        saying(b"nonsense\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", close=True),
        answering,
    )
    async with upstream(scripts) as service, gateway(service.port) as up:
        assert await failing(caller(up).request("GET", "/")) is Kind.UPSTREAM_RESET
        assert await failing(caller(up).request("GET", "/")) is Kind.UPSTREAM_MALFORMED
        assert await failing(caller(up).request("GET", "/")) is Kind.UPSTREAM_INCOMPLETE
        assert (await soon(caller(up).request("GET", "/"))).status == 200
        assert (up.endpoint.requests, up.endpoint.errors) == (4, 3)


def leaving(after: str) -> Script:
    """One answer on each connection, which is closed or reset as the next request comes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.head()
        if after == "reset":
            peer.reset()

    return script


@pytest.mark.parametrize("after", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_kept_connection_that_died_is_no_answer(method: str, after: str) -> None:
    async with upstream(in_turn(leaving(after), answering)) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        assert (await soon(caller(up).request(method, "/2", body=b"abc"))).status == 200
        assert (service.connections, len(service.requests)) == (2, 3)
        assert service.requests[2].body == b"abc", "it is asked whole again"
        assert (up.endpoint.requests, up.endpoint.errors, up.endpoint.in_flight) == (2, 0, 0)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_may_have_been_done_is_not_asked_twice(method: str) -> None:
    async with upstream(leaving("close")) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        assert await failing(caller(up).request(method, "/2", body=b"abc")) is Kind.UPSTREAM_RESET
        assert (service.connections, len(service.requests)) == (1, 2)


async def test_it_is_asked_again_once_at_most_and_only_on_a_kept_connection() -> None:
    async with upstream(in_turn(leaving("close"), closing)) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        assert await failing(caller(up).request("GET", "/2")) is Kind.UPSTREAM_RESET
        assert service.connections == 2
        assert await failing(caller(up).request("GET", "/3")) is Kind.UPSTREAM_RESET
        assert service.connections == 3, "a new connection that dies is the service's word"


async def test_the_second_try_is_on_a_new_connection() -> None:
    script = in_turn(leaving("close"), leaving("close"), answering)
    async with upstream(script) as service, gateway(service.port) as up:
        await soon(asyncio.gather(*[caller(up).request("GET", "/1") for _ in range(2)]))
        assert len(up.pool.idle) == 2
        assert (await soon(caller(up).request("GET", "/2"))).status == 200
        assert service.connections == 3


async def test_the_second_try_is_the_last_one() -> None:
    script = in_turn(leaving("close"), leaving("close"), answering)
    async with upstream(script) as service, gateway(service.port, limits=limits(max_connections=1)) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        first = asyncio.create_task(failing(caller(up).request("GET", "/2")))
        second = asyncio.create_task(caller(up).request("GET", "/3"))
        # The second caller is before it in the queue, so that it gets a connection that was used before.
        assert (await soon(second)).status == 200
        assert await soon(first) is Kind.UPSTREAM_RESET
        assert [message.first.split(b" ")[1] for message in service.requests] == [b"/1", b"/2", b"/3", b"/2"]


async def test_who_gives_up_before_the_second_try_leaves_the_queue() -> None:
    script = in_turn(leaving("close"), silent)
    async with upstream(script) as service, gateway(service.port, limits=limits(max_connections=1)) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        first = asyncio.create_task(failing(caller(up).request("GET", "/2", timeout=0.3)))
        second = asyncio.create_task(caller(up).request("GET", "/3"))
        await eventually(lambda: len(service.requests) == 3 and up.pool.queue)
        assert await soon(first) is Kind.RESPONSE_TIMEOUT
        assert not up.pool.queue
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await eventually(lambda: not up.pool.connections)


async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()
        peer.send(b"HTTP/1.1 20")

    async with upstream(script) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        assert await failing(caller(up).request("GET", "/2")) is Kind.UPSTREAM_RESET
        assert service.connections == 1


async def test_the_second_try_is_in_the_same_time() -> None:
    async with upstream(in_turn(leaving("close"), silent)) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        assert await failing(caller(up).request("GET", "/2", timeout=0.05)) is Kind.RESPONSE_TIMEOUT
        assert service.connections == 2
        await eventually(lambda: not up.pool.connections)


async def test_nobody_is_there_for_the_second_try(unused_tcp_port: int) -> None:
    async with upstream(leaving("close")) as service, gateway(service.port) as up:
        assert (await soon(caller(up).request("GET", "/1"))).status == 200
        up.pool.port = unused_tcp_port
        assert await failing(caller(up).request("GET", "/2")) is Kind.CONNECT_FAILED
        assert (up.endpoint.errors, up.endpoint.in_flight) == (1, 0)


class Asker:
    """What must not outlive its question."""


@pytest.mark.parametrize("script", [answering, closing, silent, saying(status(500))])
async def test_nothing_is_left_of_a_question_that_only_the_collector_finds(script: Script) -> None:
    async def ask(up: Gateway, asker: Asker) -> None:
        assert asker is not None
        with contextlib.suppress(GatewayError):
            await caller(up).request("GET", "/", timeout=0.05)

    async with upstream(script) as service, gateway(service.port) as up:
        asker = Asker()
        left = weakref.ref(asker)
        gc.disable()
        try:
            await soon(asyncio.create_task(ask(up, asker)))
            del asker
            await eventually(lambda: left() is None, "a cycle holds who asked")
        finally:
            gc.enable()


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with gateway(unused_tcp_port) as up:
        assert await failing(caller(up).request("GET", "/")) is Kind.CONNECT_FAILED


async def test_too_slow_and_too_large() -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    async with upstream(in_turn(silent, saying(large))) as service, gateway(service.port) as up:
        assert await failing(caller(up).request("GET", "/", timeout=0.05)) is Kind.RESPONSE_TIMEOUT
        assert await failing(caller(up).request("GET", "/", max_body=9)) is Kind.UPSTREAM_BODY_TOO_LARGE
        assert (await soon(caller(up).request("GET", "/", max_body=10))).body == b"0123456789"


async def test_who_gives_up_in_the_queue_leaves_it() -> None:
    async with upstream(silent) as service, gateway(service.port, limits=limits(max_connections=1)) as up:
        first = asyncio.create_task(caller(up).request("GET", "/"))
        await eventually(lambda: service.requests)
        assert await failing(caller(up).request("GET", "/", timeout=0.05)) is Kind.RESPONSE_TIMEOUT
        assert not up.pool.queue
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await eventually(lambda: not up.pool.connections)


async def test_a_drained_endpoint_and_an_unknown_upstream() -> None:
    async with upstream(answering) as service, gateway(service.port) as up:
        up.endpoint.state = "drain"
        assert await failing(caller(up).request("GET", "/")) is Kind.NO_ENDPOINT
        with pytest.raises(LookupError, match="no upstream 'other'"):
            await UpstreamCaller(up.proxy, "other").request("GET", "/")


@pytest.mark.parametrize("script", [closing, saying(status(500)), silent])
async def test_failures_in_a_row_eject_an_endpoint(script: Script) -> None:
    policy = OutlierPolicy(errors=2, ejection=60.0)
    async with (
        upstream(script) as bad,
        upstream(answering) as good,
        gateway(bad.port, good.port, outliers=policy, balance=InOrder()) as up,
    ):
        first, second = up.upstream.endpoints
        for _ in range(2):
            assert first.ejected_until == 0
            with contextlib.suppress(GatewayError):
                await soon(caller(up).request("GET", "/", timeout=0.05))
        assert (first.ejected_for, second.ejected_for) == ("errors", "")
        assert (await soon(caller(up).request("GET", "/"))).status == 200
        assert (len(bad.requests), len(good.requests)) == (2, 1)


async def test_answer_ends_a_row_of_failures() -> None:
    scripts = in_turn(closing, closing, answering)
    async with upstream(scripts) as service, gateway(service.port, outliers=OutlierPolicy(errors=9)) as up:
        for _ in range(2):
            assert await failing(caller(up).request("GET", "/")) is Kind.UPSTREAM_RESET
        assert up.endpoint.failures == 2
        assert (await soon(caller(up).request("GET", "/"))).status == 200
        assert up.endpoint.failures == 0


async def test_connections_that_are_refused_count_as_such(unused_tcp_port: int) -> None:
    policy = OutlierPolicy(errors=0, connect_errors=2, ejection=60.0)
    async with gateway(unused_tcp_port, 9, outliers=policy, balance=InOrder()) as up:
        for _ in range(2):
            await failing(caller(up).request("GET", "/"))
        assert [endpoint.ejected_for for endpoint in up.upstream.endpoints] == ["connect", ""]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "no-slash", {}),
        ("GET", "/a b", {}),
        ("GET", "/a\r\nX: 1", {}),
        ("GET", "/\u00e9", {}),
        ("G T", "/", {}),
        ("GET", "/", {"X": "a\r\nb: c"}),
        ("GET", "/", {"X Y": "a"}),
    ],
)
async def test_what_http_does_not_allow_is_never_sent(method: str, path: str, headers: dict[str, str]) -> None:
    async with upstream(answering) as service, gateway(service.port) as up:
        with pytest.raises(ValueError, match=r".+"):
            await caller(up).request(method, path, headers)
        assert (service.connections, up.endpoint.in_flight) == (0, 0)


ASKS = """
from dataclasses import dataclass
from gateway.plugin import Plugin, Reply

class Asks(Plugin):
    @dataclass(frozen=True)
    class Options:
        upstream: str

    def __init__(self, options, env):
        super().__init__(options, env)
        self._client = env.upstream(options.upstream)

    async def admit(self, exchange):
        reply = await self._client.request("GET", "/check", {"X-Path": exchange.raw_path})
        return None if reply.status == 200 else Reply.text(403, "no")
"""


async def test_a_plugin_asks_an_upstream(tmp_path: Path) -> None:
    async def auth(peer: Peer) -> None:
        while True:
            message = await peer.request()
            peer.send(OK if message.get("x-path") == "/open" else b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    write_plugin(tmp_path, "asks", ASKS)
    async with upstream(auth) as service:
        text = HEAD + "plugins: [asks: {upstream: auth}]\n"
        text += f"upstreams: {{auth: {{endpoints: ['http://127.0.0.1:{service.port}']}}}}\n"
        text += "routes: [{name: all, respond: {text: hello}}]\n"
        async with running(tmp_path, text) as worker, worker.client() as client:
            assert (await client.ask(request("/open"))).status == 200
            assert (await client.ask(request("/shut"))).status == 403
            worker.write(text.replace("{upstream: auth}", "{upstream: auht}"))
            assert not await worker.runtime.reload()
            assert "unknown upstream 'auht'; did you mean 'auth'?" in worker.runtime.last.texts[0]
        assert service.connections == 1
