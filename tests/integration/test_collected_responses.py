"""Answers that plugins read first: which are collected, which stream, and which are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.plugin import Failure, GatewayError, Kind, ResponseHead
from tests.support.gateways import PING, gateway, make_upstream, request
from tests.support.misbehaving import status
from tests.support.raw_upstream import Peer, saying, upstream
from tests.support.recording import Editor, ReadsResponse
from tests.support.standins import INSTEAD, Fallback

MIB = 1 << 20
MALFORMED = Failure(502, "upstream_malformed", "reset")


class Chooses(ReadsResponse):
    """Collects answers of one type. `heads` counts how often it was asked."""

    def __init__(self, wanted: str = "application/json", max_body: int = 100, replacement: bytes | None = None) -> None:
        super().__init__(replacement)
        self.wanted, self.max_body = wanted, max_body  # type: ignore[misc]
        self.heads = 0

    def collects(self, exchange: Exchange, head: ResponseHead) -> bool:
        self.heads += 1
        return head.headers.get("content-type") == self.wanted


class Refuses(Chooses):
    """Refuses every answer that it reads; with `all_of_them` the gateway's own too."""

    def __init__(self, all_of_them: bool = False) -> None:
        super().__init__()
        self.all_of_them = all_of_them

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        super().on_response(exchange, head)
        if self.all_of_them or head.headers.get("content-type") == self.wanted:
            raise GatewayError(Kind.UPSTREAM_MALFORMED, cause="not to my taste")


class Taps:
    """A plugin's tap. `passed` is what went by."""

    def __init__(self) -> None:
        self.passed = b""

    def watch(self, exchange: Exchange, head: ResponseHead) -> None:
        if exchange.tap is None and exchange.attempts == 1:
            exchange.tap = self

    def feed(self, data: bytes) -> None:
        self.passed += data

    def end(self) -> None:
        self.passed += b"."


def typed(content_type: str, body: bytes) -> bytes:
    return status(200, f"Content-Type: {content_type}".encode(), body=body)


async def test_what_no_plugin_wants_streams() -> None:
    """The first bytes are with the client before the last ones are sent."""
    plugin, go_on = Chooses(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\nfirst" % (5 * MIB + 5))
        await go_on.wait()
        peer.send(bytes(5 * MIB))
        await peer.writer.drain()
        await peer.gone()

    async with (
        upstream(script) as service,
        gateway(service.port, plugins=[plugin]) as running,
        running.client() as client,
    ):
        client.send(request())
        head = await client.head()
        assert await client.read(5) == b"first"
        go_on.set()
        assert len(await client.read(5 * MIB)) == 5 * MIB
        assert head.get("content-length") == str(5 * MIB + 5)
    assert (plugin.bodies, plugin.heads) == ([None], 1)


async def test_one_who_wants_it_is_enough_and_sets_the_limit() -> None:
    picture, text = Chooses("image/png", 3), Chooses("text/plain", 10, b"other")
    async with (
        upstream(saying(typed("text/plain", b"0123456789"))) as service,
        gateway(service.port, plugins=[picture, text]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"other"
    assert (picture.bodies, text.bodies) == ([b"other"], [b"0123456789"])
    async with (
        upstream(saying(typed("text/plain", b"0123456789a"))) as service,
        gateway(service.port, plugins=[picture, text]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 502


@pytest.mark.parametrize(("content_type", "length"), [("application/json", None), ("image/png", "9")])
async def test_a_head_request_is_told_no_length_that_may_change(content_type: str, length: str | None) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 9\r\n\r\n" % content_type.encode()
    async with (
        upstream(saying(answer)) as service,
        gateway(service.port, plugins=[Chooses()]) as running,
        running.client() as client,
    ):
        for _ in range(2):
            head = await client.ask(request(method="HEAD"), "HEAD")
            assert (head.status, head.get("content-length"), head.get("transfer-encoding")) == (200, length, None)


async def test_a_plugin_that_fails_to_say_whether_it_collects() -> None:
    class Fails(Chooses):
        def collects(self, exchange: Exchange, head: ResponseHead) -> bool:
            raise ZeroDivisionError

    async with (
        upstream(saying(typed("text/plain", b"abc"))) as service,
        gateway(service.port, plugins=[Fails()]) as running,
        running.client() as client,
    ):
        for _ in range(2):
            assert (await client.ask(request())).status == 500
        await running.idle()
        assert [found[:2] for found in running.recorder.finished] == [(500, "plugin_crashed")] * 2
        assert running.endpoint.errors == 0


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_a_refused_answer_is_a_failure_of_the_table(all_of_them: bool) -> None:
    marked: list[int] = []
    plugins = [Refuses(all_of_them), Editor(lambda exchange, head: marked.append(head.status))]
    async with (
        upstream(saying(typed("application/json", b"secret"))) as service,
        gateway(service.port, plugins=plugins) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert (answer.status, answer.get("content-type")) == (502, "application/problem+json")
        assert "error=http_protocol_error" in (answer.get("proxy-status") or "")
        assert b"secret" not in answer.body
        assert b"taste" not in answer.body
        await running.idle()
        assert [found[:2] for found in running.recorder.finished] == [(502, "upstream_malformed")]
    assert marked == [200, 502], "the gateway's own answer passes the other plugins too"


async def test_a_refused_answer_that_streams_is_cut_off() -> None:
    refuse: Any = Refuses(all_of_them=True)
    async with (
        upstream(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=False)) as service,
        gateway(service.port, plugins=[refuse]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).status == 502
        await running.idle()


async def test_a_fallback_answers_for_a_refused_answer() -> None:
    fallback = Fallback(INSTEAD)
    async with (
        upstream(saying(typed("application/json", b"{"))) as service,
        gateway(service.port, plugins=[fallback, Refuses()]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request())).body == b"instead"
    assert fallback.asked == [MALFORMED]


@pytest.mark.parametrize(("content_type", "found"), [("text/plain", (200, b"good")), ("application/json", (502, None))])
async def test_another_upstream_answers_for_a_refused_answer(content_type: str, found: tuple[int, Any]) -> None:
    """A tap that a plugin set for the refused answer does not see the other one."""
    fallback, taps = Fallback(to="standby"), Taps()
    plugins = [fallback, Refuses(), Editor(taps.watch)]
    async with (
        upstream(saying(typed("application/json", b"{"))) as service,
        upstream(saying(typed(content_type, b"good"))) as standby,
        gateway(service.port, plugins=plugins, others=[make_upstream("standby", standby.port)]) as running,
        running.client() as client,
    ):
        answer = await client.ask(request(method="PUT", body=b"hello"))
        assert (answer.status, answer.body if found[1] else None) == found
        assert [message.body for message in standby.requests] == [b"hello"]
    assert (fallback.asked, taps.passed) == ([MALFORMED], b"")


async def test_the_gateways_own_answers_are_not_asked_for() -> None:
    plugin = Chooses("text/plain")
    async with gateway(paths=[PING], plugins=[plugin]) as running, running.client() as client:
        assert (await client.ask(request("/ping"))).body == b"pong"
    assert (plugin.heads, plugin.bodies) == (0, [b"pong"])
